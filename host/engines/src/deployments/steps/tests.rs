use super::super::analysis::analyse;
use super::*;
use quarterdeck_model::Timestamp;
use serde_json::json;

/// Replicas as `name weight`, `c...` of the candidate, `s...` of the stable revision, `x...` of another one.
fn deployment(replicas: &[(&str, u32)]) -> Deployment {
    let replicas: Vec<_> = replicas
        .iter()
        .map(|(name, weight)| {
            let revision = match name.chars().next() {
                Some('c') => "v2",
                Some('s') => "v1",
                _ => "v0",
            };
            json!({"name": name, "revision": revision, "phase": "healthy", "weight": weight, "responses": 0,
                "failures": 0, "message": ""})
        })
        .collect();
    let now = Timestamp::from_millis(0);
    serde_json::from_value(json!({
        "id": "dep_1", "service": "web", "spec": {"target": "t/t", "strategy": "s/s"}, "stable": "v1", "candidate": "v2",
        "state": "progressing", "principal": "ann", "started_at": now, "finished_at": null, "deadline": now,
        "weight": 0, "replicas": replicas, "baseline": [], "baseline_at": now, "moves": [], "in_flight": [],
        "promoted": false, "strategy_state": null, "next_look": now, "started_replicas": 0, "error": null
    }))
    .unwrap()
}

fn check_weights(percent: u32, replicas: &[&str], expected: &[u32]) {
    let d = deployment(&replicas.iter().map(|name| (*name, 0)).collect::<Vec<_>>());
    let weights = Goal::share(percent).weights(&d);
    let weights: Vec<_> = replicas.iter().map(|name| weights[*name]).collect();
    assert_eq!(weights, expected, "{percent} % over {replicas:?}");
}

#[test]
fn weights_are_divided_evenly_and_sum_up() {
    check_weights(10, &["c1", "s1"], &[26, 230]);
    check_weights(10, &["c1", "c2", "s1", "s2", "s3"], &[13, 13, 77, 77, 76]);
    check_weights(50, &["c1", "s1", "s2"], &[128, 64, 64]);
    check_weights(0, &["c1", "s1", "s2"], &[0, 128, 128]);
    check_weights(100, &["c1", "c2", "c3", "s1"], &[86, 85, 85, 0]);
    check_weights(1, &["c1", "c2", "c3", "c4", "s1"], &[1, 1, 1, 0, 253]);
    check_weights(10, &["c1", "c2"], &[128, 128]);
    check_weights(10, &["s1"], &[256]);
    check_weights(10, &["c1", "s1", "x1"], &[26, 230, 0]);
    for percent in 0..=100 {
        for candidates in 1..6 {
            for stables in 1..6 {
                let names: Vec<_> =
                    (0..candidates).map(|n| format!("c{n}")).chain((0..stables).map(|n| format!("s{n}"))).collect();
                let d = deployment(&names.iter().map(|name| (name.as_str(), 0)).collect::<Vec<_>>());
                let weights = Goal::share(percent).weights(&d);
                assert_eq!(weights.values().sum::<u32>(), TOTAL);
                let part: u32 =
                    weights.iter().filter(|(name, _)| name.starts_with('c')).map(|(_, weight)| weight).sum();
                assert!((f64::from(part) / 2.56 - f64::from(percent)).abs() < 0.7, "{percent}: {part}");
                assert_eq!((part == 0, part == TOTAL), (percent == 0, percent == 100));
            }
        }
    }
}

#[test]
fn weights_rise_before_they_fall_and_replicas_drain_before_they_stop() {
    let mut d = deployment(&[("c1", 0), ("s1", 128), ("s2", 128)]);
    let goal = Goal { percent: 50, retire: ["s2".to_owned()].into() };
    let mut batches = Vec::new();
    loop {
        let batch = goal.next_batch(&d);
        if batch.is_empty() {
            break;
        }
        for step in &batch {
            apply(&mut d.replicas, step);
        }
        batches.push(batch);
    }
    let weight = |replica: &str, weight| Step::Weight { replica: replica.to_owned(), weight };
    assert_eq!(
        batches,
        [
            vec![weight("c1", 128)],
            vec![weight("s2", 0)],
            vec![Step::Drain { replica: "s2".to_owned() }],
            vec![Step::Stop { replica: "s2".to_owned() }],
        ]
    );
}

#[test]
fn names_are_fit_for_any_target_and_stay_different() {
    assert_eq!(name("web", "v1.2", 3), "web-v1.2-3");
    let odd = name("web", "feature/ä", 1);
    assert!(odd.starts_with("web-feature---") && odd.is_ascii(), "{odd}");
    assert_ne!(name("web", "a/b", 1), name("web", "a:b", 1));
    assert!(name(&"s".repeat(300), &"r".repeat(300), 1).len() <= 84);
}

#[test]
fn counters_are_compared_with_those_of_the_last_change_of_weight() {
    let mut d = deployment(&[("c1", 1), ("c2", 1), ("c3", 1), ("s1", 1), ("x1", 1)]);
    let counters = [("c1", 110, 12), ("c2", 5, 1), ("c3", 40, 0), ("s1", 300, 3), ("x1", 9, 9)];
    d.baseline = d.replicas.clone();
    for (replica, (_, responses, failures)) in d.replicas.iter_mut().zip(counters) {
        (replica.responses, replica.failures) = (responses, failures);
    }
    // One that has grown, one that was reset, one that came up since, one that has gone since.
    (d.baseline[0].responses, d.baseline[0].failures) = (100, 10);
    (d.baseline[1].responses, d.baseline[1].failures) = (1_000, 0);
    d.baseline[2].name = "c9".to_owned();
    (d.baseline[2].responses, d.baseline[3].responses, d.baseline[3].failures) = (7_000, 200, 3);
    let analysis = analyse(&d);
    assert_eq!((analysis.responses, analysis.failures), (10 + 5 + 40, 2 + 1));
    assert_eq!((analysis.stable_responses, analysis.stable_failures), (100, 0));
}
