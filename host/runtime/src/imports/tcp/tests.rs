use super::*;
use crate::imports::testing::{Fixture, grants, tls_server};
use tokio::net::{TcpListener, UnixListener};

/// Answers each connection's bytes with themselves.
async fn echo() -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    (port, task)
}

async fn exchange(sandbox: &mut Sandbox, address: Address) -> Result<Vec<u8>, Error> {
    let handle = HostConnection::connect(sandbox, address).await.unwrap()?;
    let own = || Resource::<Connection>::new_own(handle.rep());
    sandbox.write(own(), b"ping".to_vec()).await.unwrap()?;
    let answer = sandbox.read(own(), 1024).await.unwrap();
    HostConnection::drop(sandbox, handle).await.unwrap();
    answer
}

#[tokio::test]
async fn a_granted_port_is_reached_and_others_are_not() {
    let (port, server) = echo().await;
    let fixture = Fixture::new();
    let mut sandbox =
        fixture.sandbox(grants(|grants| grants.tcp = vec![format!("127.0.0.1:{port}"), "*:*".to_owned()]));
    let local = Address::Tcp(("127.0.0.1".to_owned(), port));
    assert_eq!(exchange(&mut sandbox, local.clone()).await.unwrap(), b"ping".to_vec());
    assert_eq!((sandbox.usage.bytes_in, sandbox.usage.bytes_out), (4, 4));
    // The name leads to an address that only a literal grant opens.
    let by_name = exchange(&mut sandbox, Address::Tcp(("localhost".to_owned(), port))).await;
    assert!(matches!(by_name, Err(Error::Denied(_))), "{by_name:?}");
    let mut other = fixture.sandbox(grants(|grants| grants.tcp = vec!["127.0.0.1:1".to_owned()]));
    assert!(matches!(exchange(&mut other, local.clone()).await, Err(Error::Denied(_))));
    fixture.own(port);
    assert!(matches!(exchange(&mut sandbox, local).await, Err(Error::Denied(_))));
    server.abort();
}

#[tokio::test]
async fn what_comes_back_is_bounded() {
    let (port, server) = echo().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.tcp = vec![format!("127.0.0.1:{port}")]));
    sandbox.limits = Arc::new(quarterdeck_model::plugin::Limits { io_bytes: 3, ..Default::default() });
    let local = Address::Tcp(("127.0.0.1".to_owned(), port));
    assert!(matches!(exchange(&mut sandbox, local).await, Err(Error::Limited(_))));
    server.abort();
}

#[tokio::test]
async fn a_granted_socket_is_reached() {
    let path = std::env::temp_dir().join(format!("qd-tcp-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    let fixture = Fixture::new();
    let text = path.to_str().unwrap().to_owned();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.tcp = vec![format!("unix:{text}")]));
    assert_eq!(exchange(&mut sandbox, Address::Unix(text)).await.unwrap(), b"ping".to_vec());
    assert!(matches!(exchange(&mut sandbox, Address::Unix("/run/other.sock".to_owned())).await, Err(Error::Denied(_))));
    server.abort();
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn tls_is_verified_and_a_certificate_is_read_without() {
    let (port, server) = tls_server().await;
    let granted = || grants(|grants| grants.tcp = vec![format!("localhost:{port}"), format!("127.0.0.1:{port}")]);
    let address = Address::Tls(("localhost".to_owned(), port));
    let trusting = Fixture::trusting();
    let mut sandbox = trusting.sandbox(granted());
    assert_eq!(exchange(&mut sandbox, address.clone()).await.unwrap(), b"ping".to_vec());
    let suspicious = Fixture::new();
    let mut sandbox = suspicious.sandbox(granted());
    assert!(matches!(exchange(&mut sandbox, address).await, Err(Error::Failed(_))));
    let certificate = sandbox.peer_certificate("localhost".to_owned(), port).await.unwrap().unwrap();
    assert_eq!(certificate.subject, "CN=localhost");
    assert_eq!(certificate.names, ["localhost", "127.0.0.1"]);
    assert!(certificate.not_after_s > certificate.not_before_s);
    let mut other = suspicious.sandbox(grants(|_| ()));
    assert!(matches!(other.peer_certificate("localhost".to_owned(), port).await.unwrap(), Err(Error::Denied(_))));
    server.abort();
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up_on_before_the_call_is_over() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.tcp = vec![format!("127.0.0.1:{port}")]));
    sandbox.patience = std::time::Instant::now() + Duration::from_millis(200);
    let began = std::time::Instant::now();
    let read = exchange(&mut sandbox, Address::Tcp(("127.0.0.1".to_owned(), port))).await;
    assert!(matches!(&read, Err(Error::Failed(reason)) if reason.contains("time")), "{read:?}");
    let certificate = sandbox.peer_certificate("127.0.0.1".to_owned(), port).await.unwrap();
    assert!(matches!(&certificate, Err(Error::Failed(reason)) if reason.contains("within")), "{certificate:?}");
    assert!(began.elapsed() < CONNECT_TIMEOUT);
}

#[tokio::test]
async fn one_call_has_a_bounded_number_of_connections() {
    let (port, server) = echo().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.tcp = vec![format!("127.0.0.1:{port}")]));
    let local = Address::Tcp(("127.0.0.1".to_owned(), port));
    let mut handles = Vec::new();
    for _ in 0..SOCKETS_PER_CALL {
        handles.push(HostConnection::connect(&mut sandbox, local.clone()).await.unwrap().unwrap());
    }
    let more = HostConnection::connect(&mut sandbox, local.clone()).await.unwrap();
    assert!(matches!(more, Err(Error::Limited(_))));
    HostConnection::drop(&mut sandbox, handles.pop().unwrap()).await.unwrap();
    HostConnection::connect(&mut sandbox, local).await.unwrap().unwrap();
    server.abort();
}

#[tokio::test]
async fn a_connection_goes_on_in_tls_or_not_at_all() {
    let (port, server) = tls_server().await;
    for (fixture, trusts) in [(Fixture::trusting(), true), (Fixture::new(), false)] {
        let mut sandbox = fixture.sandbox(grants(|grants| grants.tcp = vec![format!("127.0.0.1:{port}")]));
        let local = Address::Tcp(("127.0.0.1".to_owned(), port));
        let handle = HostConnection::connect(&mut sandbox, local).await.unwrap().unwrap();
        let own = || Resource::<Connection>::new_own(handle.rep());
        let shaken = sandbox.start_tls(own(), "localhost".to_owned()).await.unwrap();
        assert_eq!(shaken.is_ok(), trusts, "{shaken:?}");
        // Where the peer is not trusted, nothing of it leaves.
        sandbox.write(own(), b"ping".to_vec()).await.unwrap().unwrap();
        let expected: &[u8] = if trusts { b"ping" } else { b"" };
        assert_eq!(sandbox.read(own(), 1024).await.unwrap().unwrap(), expected);
    }
    server.abort();
}

#[tokio::test]
async fn whom_a_plugin_talked_to_is_on_the_record_and_so_is_whom_it_may_not_or_could_not() {
    let (port, server) = echo().await;
    let fixture = Fixture::new();
    let mut sandbox =
        fixture.sandbox(grants(|grants| grants.tcp = vec![format!("127.0.0.1:{port}"), "*:*".to_owned()]));
    let local = Address::Tcp(("127.0.0.1".to_owned(), port));
    let handle = HostConnection::connect(&mut sandbox, local).await.unwrap().unwrap();
    // Its own words are no handshake.
    let shaken = sandbox.start_tls(handle, "localhost".to_owned()).await.unwrap();
    assert!(matches!(shaken, Err(Error::Failed(_))), "{shaken:?}");
    let certificate = sandbox.peer_certificate("127.0.0.1".to_owned(), port).await.unwrap();
    assert!(matches!(certificate, Err(Error::Failed(_))), "{certificate:?}");
    // One is refused by what its name leads to, the other by its name.
    for refused in [Address::Tcp(("localhost".to_owned(), port)), Address::Unix("/run/other.sock".to_owned())] {
        let refused = exchange(&mut sandbox, refused).await;
        assert!(matches!(refused, Err(Error::Denied(_))), "{refused:?}");
    }
    let expected = [
        format!("audit.tcp certificate 127.0.0.1:{port}: failed"),
        format!("audit.tcp start-tls localhost at tcp 127.0.0.1:{port}: failed"),
        format!("audit.tcp tcp 127.0.0.1:{port}: ok"),
        format!("audit.tcp tcp localhost:{port}: denied"),
        "audit.tcp unix /run/other.sock: denied".to_owned(),
    ];
    assert_eq!(fixture.audit().await, expected);
    server.abort();
}

#[tokio::test]
async fn a_secret_is_written_by_the_host_where_both_grants_name_it() {
    let (port, server) = echo().await;
    let fixture = Fixture::new();
    let granted = |secrets: &[&str]| {
        grants(|grants| {
            grants.tcp = vec![format!("127.0.0.1:{port}")];
            grants.secret = secrets.iter().map(|name| (*name).to_owned()).collect();
        })
    };
    for (secrets, base64, expected) in [
        (["jefe"].as_slice(), true, Some("AHVzZXIASmVmZQ==")),
        (["jefe"].as_slice(), false, Some("\0user\0Jefe")),
        ([].as_slice(), true, None),
    ] {
        let mut sandbox = fixture.sandbox(granted(secrets));
        let local = Address::Tcp(("127.0.0.1".to_owned(), port));
        let handle = HostConnection::connect(&mut sandbox, local).await.unwrap().unwrap();
        let own = || Resource::<Connection>::new_own(handle.rep());
        let before = b"\0user\0".to_vec();
        let written = sandbox.write_secret(own(), before, "jefe".to_owned(), base64).await.unwrap();
        match expected {
            Some(text) => {
                written.unwrap();
                assert_eq!(sandbox.read(own(), 1024).await.unwrap().unwrap(), text.as_bytes());
            }
            None => assert!(matches!(written, Err(Error::Denied(_))), "{written:?}"),
        }
    }
    assert!(!policy::secret_may_be_written_to(&["*:25".to_owned()], "mail.example.com", 25));
    server.abort();
}
