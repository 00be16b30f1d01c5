//! Who may read: anybody at this machine, until a proxy may stand in front.

use crate::harness::{Daemon, Setup};
use serde_json::Value;

async fn status(daemon: &Daemon, path: &str, token: bool) -> u16 {
    let request = daemon.http().get(format!("{}{path}", daemon.url));
    let request = if token { request.bearer_auth(&daemon.token) } else { request };
    request.send().await.unwrap().status().as_u16()
}

/// A proxy that sends the name of its upstream, and nothing of its own, looks as a program of this machine does.
#[tokio::test]
async fn with_a_name_for_a_proxy_or_as_set_nothing_is_read_without_the_token() {
    for setting in ["allowed-hosts = [\"deck.example.com\"]", "reads-need-token = true"] {
        let daemon = Setup::new().config(&format!("[api]\n{setting}\n")).start().await;
        for path in ["/", "/metrics", "/api/v1/status", "/api/v1/configuration", "/api/v1/events/stream"] {
            assert_eq!(status(&daemon, path, false).await, 401, "{setting}: {path}");
        }
        assert_eq!(status(&daemon, "/api/v1/status", true).await, 200, "{setting}");
        assert_eq!((status(&daemon, "/healthz", false).await, status(&daemon, "/readyz", false).await), (200, 200));
        let said = daemon.command_line(&["status", "--json"]);
        assert!(said.status.success(), "{setting}: {}", String::from_utf8_lossy(&said.stderr));
        assert!(serde_json::from_slice::<Value>(&said.stdout).is_ok());
    }
}

#[tokio::test]
async fn reading_is_free_at_this_machine_otherwise() {
    let daemon = Setup::new().start().await;
    assert_eq!((status(&daemon, "/api/v1/status", false).await, status(&daemon, "/metrics", false).await), (200, 200));
}
