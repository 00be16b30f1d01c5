//! A sandbox may serve several calls, where its component asks for that.

use crate::testing::browsing::browsing;
use crate::testing::guests::{Does, collector, counting, hoarding};
use crate::testing::{Bench, one, spec};
use quarterdeck_model::Timestamp;
use quarterdeck_model::kind::collector::Collector;
use quarterdeck_model::kind::detector::{Detector, Window};
use quarterdeck_model::plugin::{CallError, CallFailed, InstanceName};
use serde_json::Map;

/// For how many calls the sandbox of this call was there by its end.
async fn collected(bench: &Bench, instance: &str, at: i64) -> Result<usize, CallFailed> {
    let called = bench.collect(&InstanceName::from(instance), Timestamp::from_millis(at)).await?;
    Ok(called.value.health.message.len())
}

async fn counts(bench: &Bench, instance: &str, calls: usize) -> Vec<usize> {
    let mut counts = Vec::new();
    for _ in 0..calls {
        counts.push(collected(bench, instance, 0).await.unwrap());
    }
    counts
}

#[tokio::test]
async fn a_sandbox_serves_as_many_calls_as_its_component_asks_for() {
    let bench = Bench::with(vec![counting(Some(3))]).await;
    bench.use_plugin(&["counting/one", "counting/two"], "counting").await;
    assert_eq!(counts(&bench, "counting/one", 7).await, [1, 2, 3, 1, 2, 3, 1]);
    assert_eq!(counts(&bench, "counting/two", 1).await, [1], "another instance has sandboxes of its own");
}

#[tokio::test]
async fn a_sandbox_is_for_one_call_unless_its_component_asks_for_more() {
    for asks in [None, Some(0), Some(1)] {
        let bench = Bench::with(vec![counting(asks)]).await;
        bench.use_plugin(&["counting/one"], "counting").await;
        assert_eq!(counts(&bench, "counting/one", 3).await, [1, 1, 1], "{asks:?}");
    }
}

#[tokio::test]
async fn what_decides_is_never_asked_in_a_sandbox_that_was_used() {
    let bench = Bench::with(vec![counting(Some(100))]).await;
    bench.use_plugin(&["counting/one"], "counting").await;
    assert_eq!(counts(&bench, "counting/one", 2).await, [1, 2]);
    let window = Window { now: Timestamp::from_millis(1), from: Timestamp::from_millis(1), series: Vec::new() };
    for _ in 0..2 {
        let instance = InstanceName::from("counting/one");
        let called = bench.evaluate(&instance, &Map::new(), &window, None).await.unwrap();
        assert_eq!(called.value.state.as_deref(), Some([1].as_slice()));
    }
}

#[tokio::test]
async fn a_trap_ends_its_sandbox() {
    let bench = Bench::with(vec![counting(Some(100))]).await;
    bench.use_plugin(&["counting/one"], "counting").await;
    assert_eq!(counts(&bench, "counting/one", 2).await, [1, 2]);
    assert!(matches!(
        collected(&bench, "counting/one", 666).await,
        Err(CallFailed { error: CallError::Trapped { .. }, .. })
    ));
    assert_eq!(counts(&bench, "counting/one", 2).await, [1, 2]);
}

#[tokio::test]
async fn another_configuration_never_meets_a_sandbox_of_the_last_one() {
    let bench = Bench::with(vec![counting(Some(100))]).await;
    bench.use_plugin(&["counting/one"], "counting").await;
    assert_eq!(counts(&bench, "counting/one", 2).await, [1, 2]);
    let mut changed = spec("counting");
    changed.grants.kv = true;
    bench.configure(one("counting/one", changed)).await;
    assert_eq!(counts(&bench, "counting/one", 2).await, [1, 2]);
}

/// Its memory, and with it the handle, is all that a guest has of an earlier call.
#[tokio::test]
async fn a_sandbox_that_serves_several_calls_has_no_connection_write_or_grant_of_an_earlier_one() {
    use tokio::io::AsyncReadExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Says what it hears, and tells when there is nothing more to hear.
    let (over, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut read, mut write) = stream.split();
            let mut heard = [0; 4];
            read.read_exact(&mut heard).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut write, &heard).await.unwrap();
            let more = read.read(&mut heard).await.map_or(0, |more| more);
            over.send(more).unwrap();
        }
    });
    let bench = Bench::with(vec![hoarding(port)]).await;
    let granting = |tcp: &[String]| {
        let mut spec = spec("hoarding");
        (spec.grants.kv, spec.grants.tcp) = (true, tcp.to_vec());
        spec.limits.deadline = quarterdeck_model::Span::from_secs(10);
        one("hoarding/one", spec)
    };
    let name = InstanceName::from("hoarding/one");
    let call = async |at: i64| bench.collect(&name, Timestamp::from_millis(at)).await;
    let said = async |at: i64| call(at).await.map(|called| called.value.health.message);
    bench.configure(granting(&[format!("127.0.0.1:{port}")])).await;

    assert_eq!(said(1).await.unwrap(), "ping");
    assert_eq!(ended.recv().await, Some(0), "it ends with its call, not with the handle");
    assert_eq!(said(2).await.unwrap(), "the connection ended with the call that opened it");
    assert_eq!(said(1).await.unwrap(), "ping", "a call has connections of its own");
    assert_eq!(ended.recv().await, Some(0));

    // A call that failed in its own words is no reason for another sandbox, and leaves nothing that the next one commits.
    let failed = call(3).await.unwrap_err().error;
    assert_eq!(failed, CallError::Other { message: "ping".to_owned() });
    let next = call(2).await.unwrap();
    assert!(next.writes.is_empty() && next.events.is_empty(), "{next:?}");
    assert_eq!(next.value.health.message, "the connection ended with the call that opened it");

    // Under other grants there is no such handle, nor anything to get one by.
    bench.configure(granting(&[])).await;
    let denied = said(1).await.unwrap();
    assert!(denied.contains("`tcp`") || denied.contains("grants.tcp"), "{denied}");
    assert!(matches!(call(2).await.unwrap_err().error, CallError::Trapped { .. }));
    server.abort();
}

/// Reads the head of a request. False: there is none.
async fn asked(stream: &mut tokio::net::TcpStream) -> bool {
    use tokio::io::AsyncReadExt;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

#[tokio::test]
async fn a_sandbox_that_serves_several_calls_has_no_answer_or_body_of_an_earlier_one() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (over, mut ended) = tokio::sync::mpsc::unbounded_channel();
    // Each answer comes in two halves, of which the second one is late: when whoever asked has hung up.
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if !asked(&mut stream).await {
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nping").await.unwrap();
            let mut more = [0];
            let read = stream.read(&mut more).await.unwrap_or(0);
            let _ = stream.write_all(b"pong").await;
            over.send(read).unwrap();
        }
    });
    let bench = Bench::with(vec![browsing(port)]).await;
    let granting = |http: &[String]| {
        let mut spec = spec("browsing");
        spec.grants.http = http.to_vec();
        spec.limits.deadline = quarterdeck_model::Span::from_secs(10);
        one("browsing/one", spec)
    };
    let name = InstanceName::from("browsing/one");
    let call = async |at: i64| bench.collect(&name, Timestamp::from_millis(at)).await;
    let said = async |at: i64| call(at).await.unwrap().value.health.message;
    bench.configure(granting(&[format!("http://127.0.0.1:{port}")])).await;

    assert_eq!(said(1).await, "ping");
    assert_eq!(ended.recv().await, Some(0), "the connection ends with its call, not with the handle");
    assert_eq!(said(2).await, "over");
    assert_eq!(said(1).await, "ping", "a call has answers of its own");
    assert_eq!(ended.recv().await, Some(0));
    assert_eq!(said(2).await, "over");

    // Under other grants there is no such handle, nor anything to get one by.
    bench.configure(granting(&[])).await;
    assert!(matches!(call(1).await.unwrap_err().error, CallError::Trapped { .. }), "it was denied, and asks for more");
    assert!(matches!(call(2).await.unwrap_err().error, CallError::Trapped { .. }));
    server.abort();
}

#[tokio::test]
async fn an_answer_that_an_earlier_call_did_not_wait_for_comes_to_no_later_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (waits, asked_by) = tokio::sync::oneshot::channel::<()>();
    // Says nothing before the call is over, and then what it was asked for.
    let server = tokio::spawn(async move {
        let _ = asked_by.await;
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                if asked(&mut stream).await {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nping";
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
                }
            });
        }
    });
    let bench = Bench::with(vec![browsing(port)]).await;
    let mut with = spec("browsing");
    with.grants.http = vec![format!("http://127.0.0.1:{port}")];
    with.limits.deadline = quarterdeck_model::Span::from_secs(10);
    bench.configure(one("browsing/one", with)).await;
    let name = InstanceName::from("browsing/one");
    let said = async |at: i64| {
        let called = bench.collect(&name, Timestamp::from_millis(at)).await.unwrap();
        called.value.health.message
    };
    assert_eq!(said(3).await, "");
    waits.send(()).unwrap();
    assert_eq!(said(4).await, "failed");
    assert_eq!(said(1).await, "ping", "its own one it gets");
    server.abort();
}

/// More instances than sandboxes may wait, and one more call than that at once.
#[tokio::test]
async fn sandboxes_that_wait_leave_room_for_those_at_work() {
    let bench = Bench::with(vec![counting(Some(100)), collector("guest", "1.0.0", Does::Well)]).await;
    let names: Vec<String> = (0..60).map(|number| format!("counting/n{number}")).collect();
    let mut specs: std::collections::BTreeMap<_, _> =
        names.iter().map(|name| (InstanceName::from(name.as_str()), spec("counting"))).collect();
    specs.insert(InstanceName::from("guest/one"), spec("guest"));
    bench.configure(specs).await;
    for name in &names {
        assert_eq!(counts(&bench, name, 1).await, [1]);
    }
    let calls = (0..40).map(|_| collected(&bench, "guest/one", 0));
    assert!(futures::future::join_all(calls).await.iter().all(Result::is_ok));
}
