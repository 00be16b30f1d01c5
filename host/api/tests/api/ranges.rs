//! What reading a range of samples may cost.

use crate::support::deck_with;
use async_trait::async_trait;
use quarterdeck_model::domain::Catalog;
use quarterdeck_model::series::{Part, PartOfRange, Sample, Selector, Series, SeriesData};
use quarterdeck_model::store::StoreError;
use quarterdeck_model::{Labels, Span, Timestamp};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(60);

/// A disk that reads nothing until it is let.
#[derive(Default)]
struct Slow {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    goes_on: bool,
    readers: usize,
    asked: Vec<Part>,
}

impl Slow {
    fn go_on(&self) {
        self.state.lock().unwrap().goes_on = true;
        self.changed.notify_all();
    }

    async fn readers(&self, count: usize) {
        while self.state.lock().unwrap().readers < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[async_trait]
impl Series for Slow {
    async fn append(&self, _: Vec<Sample>) -> Result<(), StoreError> {
        Ok(())
    }

    fn latest(&self, _: &Selector, _: Timestamp, _: Span) -> Vec<Sample> {
        Vec::new()
    }

    fn range(&self, _: &Selector, _: Timestamp, _: Timestamp) -> Result<Vec<SeriesData>, StoreError> {
        panic!("nothing reads without bounds")
    }

    fn part_of_range(
        &self,
        selector: &Selector,
        _: Timestamp,
        to: Timestamp,
        part: &Part,
    ) -> Result<PartOfRange, StoreError> {
        let mut state = self.state.lock().unwrap();
        state.readers += 1;
        state.asked.push(part.clone());
        while !state.goes_on {
            state = self.changed.wait(state).unwrap();
        }
        if selector.metric == "wide" {
            return Err(StoreError::TooManyPoints { limit: part.points });
        }
        let labels = Labels::new().with("n", "1");
        let data = SeriesData { name: "up".to_owned(), labels, at: vec![to], values: vec![f64::NAN] };
        Ok(PartOfRange { series: vec![data], next: Some("{n=\"1\"}".to_owned()) })
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn few_ranges_are_read_at_once_and_each_within_bounds() {
    let slow = Arc::new(Slow::default());
    let deck = deck_with(Catalog::default(), |options| options.series = slow.clone()).await;
    let ask = || deck.get("/api/v1/metrics/range?metric=up&limit=3&step=5m");
    let one_more = async {
        slow.readers(4).await;
        let answer = ask().await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "5"));
        assert_eq!(slow.state.lock().unwrap().readers, 4, "it was not begun");
        slow.go_on();
    };
    let all = async { tokio::join!(ask(), ask(), ask(), ask(), one_more) };
    let (answer, ..) = timeout(SOON, all).await.unwrap();
    assert_eq!(answer.status, 200);
    let page = answer.json();
    assert_eq!(page["items"][0]["values"], serde_json::json!([null]));
    let asked = slow.state.lock().unwrap().asked[0].clone();
    assert_eq!(asked, Part { step: Some(Span::from_secs(300)), after: None, series: 3, points: 500_000 });
    let next = page["next_cursor"].as_str().unwrap();
    assert_eq!(deck.get(&format!("/api/v1/metrics/range?metric=up&cursor={next}")).await.status, 200);
    assert_eq!(slow.state.lock().unwrap().asked.last().unwrap().after.as_deref(), Some("{n=\"1\"}"));
    let wide = deck.get("/api/v1/metrics/range?metric=wide").await;
    assert_eq!(wide.status, 422);
    assert!(wide.json()["detail"].as_str().unwrap().contains("hint: ask for a longer step"), "{}", wide.json());
}
