//! Backtests of rules over what is stored.

use crate::support::{START, deck};
use quarterdeck_model::{Span, Timestamp};
use serde_json::json;

#[tokio::test]
async fn a_backtest_says_when_an_alert_would_have_fired() {
    let deck = deck().await;
    let at = |minutes: u64| START.minus(Span::from_secs(600)).plus(Span::from_secs(60 * minutes));
    let text = |at: Timestamp| at.to_string();
    let samples: Vec<_> = [0, 1, 1, 1, 0, 0]
        .iter()
        .enumerate()
        .map(
            |(minute, value)| json!({"name": "x", "labels": {"a": "b"}, "value": value, "at": text(at(minute as u64))}),
        )
        .collect();
    assert_eq!(deck.post("/api/v1/metrics", &json!(samples)).await.status, 202);
    let rules = json!({"interval": "1m", "rules": [{"alert": "X", "expr": "x > 0", "for": "1m"}]});
    let mut body = json!({"alert": "X", "rules": rules, "from": text(at(0)), "to": text(at(5))});
    let answer = deck.post("/api/v1/backtests", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let found = answer.json();
    let firing = json!({"labels": {"alertname": "X", "a": "b"}, "active_at": text(at(1)), "fired_at": text(at(2)),
        "resolved_at": text(at(4)), "lasted": "2m"});
    assert_eq!((&found["firings"], &found["evaluations"]), (&json!([firing]), &json!(6)));
    body["alert"] = json!("Y");
    assert_eq!(deck.post("/api/v1/backtests", &body).await.status, 404);
    body["rules"] = json!({"rules": [{"alert": "Y", "expr": "sum("}]});
    assert_eq!(deck.post("/api/v1/backtests", &body).await.status, 422);
    assert_eq!(deck.post("/api/v1/backtests", &json!({"alert": "Z", "from": text(at(0))})).await.status, 404);
    assert_eq!(
        deck.post("/api/v1/backtests", &json!({"alert": "Z", "group": "g", "from": text(at(0))})).await.status,
        404
    );
}
