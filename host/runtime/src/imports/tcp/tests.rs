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
    // The name of a host goes out as well: to a name server.
    assert_eq!((sandbox.usage.bytes_in, sandbox.usage.bytes_out), (4, "127.0.0.1ping".len() as u64));
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(&[b'x'; 64]).await;
        }
    });
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.tcp = vec![format!("127.0.0.1:{port}")]));
    sandbox.limits = Arc::new(quarterdeck_model::plugin::Limits { io_bytes: 20, ..Default::default() });
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

/// Keeps what it is told, and says it back in two parts.
async fn repeater() -> (u16, Arc<std::sync::Mutex<Vec<u8>>>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keeps = told.clone();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                keeps.lock().unwrap().extend_from_slice(&buffer[..read]);
                // In the middle of what comes last, and a secret does.
                let (one, two) = buffer[..read].split_at(read - 3);
                let _ = stream.write_all(one).await;
                tokio::task::yield_now().await;
                let _ = stream.write_all(two).await;
            }
        }
    });
    (port, told, task)
}

fn granting(port: u16, secrets: &[&str]) -> Arc<quarterdeck_model::plugin::Grants> {
    grants(|grants| {
        grants.tcp = vec![format!("127.0.0.1:{port}")];
        grants.secret = secrets.iter().map(|name| (*name).to_owned()).collect();
    })
}

async fn opened(sandbox: &mut Sandbox, port: u16) -> u32 {
    let local = Address::Tcp(("127.0.0.1".to_owned(), port));
    HostConnection::connect(sandbox, local).await.unwrap().unwrap().rep()
}

/// Reads pieces of so many bytes until there are as many as that.
async fn heard(sandbox: &mut Sandbox, connection: u32, max: u32, bytes: usize) -> String {
    let mut heard = Vec::new();
    while heard.len() < bytes {
        let piece = sandbox.read(Resource::new_own(connection), max).await.unwrap().unwrap();
        assert!(!piece.is_empty() && piece.len() <= max as usize, "{heard:?}");
        heard.extend(piece);
    }
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn a_secret_is_written_by_the_host_where_both_grants_name_it_and_is_not_heard_back() {
    for (secrets, base64, written) in [
        (["jefe"].as_slice(), true, Some("AHVzZXIASmVmZQ==")),
        (["jefe"].as_slice(), false, Some("\0user\0Jefe")),
        ([].as_slice(), true, None),
    ] {
        let (port, told, server) = repeater().await;
        let fixture = Fixture::new();
        let mut sandbox = fixture.sandbox(granting(port, secrets));
        let connection = opened(&mut sandbox, port).await;
        let own = || Resource::<Connection>::new_own(connection);
        let answer = sandbox.write_secret(own(), b"\0user\0".to_vec(), "jefe".to_owned(), base64).await.unwrap();
        match written {
            Some(text) => {
                answer.unwrap();
                let placeholder = sandbox.caller().placeholder("jefe");
                let expected = if base64 { placeholder } else { format!("\0user\0{placeholder}") };
                assert_eq!(heard(&mut sandbox, connection, 7, expected.len()).await, expected);
                assert_eq!(*told.lock().unwrap(), text.as_bytes());
            }
            None => assert!(matches!(answer, Err(Error::Denied(_))), "{answer:?}"),
        }
        server.abort();
    }
    assert!(!policy::secret_may_be_written_to(&["*:25".to_owned()], "mail.example.com", 25));
}

#[tokio::test]
async fn a_secret_that_a_peer_has_kept_is_not_heard_on_another_connection_either() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (port, _, server) = repeater().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(granting(port, &["token"]));
    let connection = opened(&mut sandbox, port).await;
    // As if it had them from before: what the plugin itself says stands for what the peer says.
    let placeholder = sandbox.caller().placeholder("token");
    for said in ["correct-horse-battery".to_owned(), STANDARD.encode("correct-horse-battery")] {
        let own = Resource::<Connection>::new_own(connection);
        sandbox.write(own, format!("have {said}").into_bytes()).await.unwrap().unwrap();
        let expected = format!("have {placeholder}");
        assert_eq!(heard(&mut sandbox, connection, 1024, expected.len()).await, expected);
    }
    server.abort();
}

#[tokio::test]
async fn what_only_begins_as_a_secret_is_heard_before_the_peer_says_more() {
    let (port, _, server) = repeater().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(granting(port, &["token"]));
    let connection = opened(&mut sandbox, port).await;
    sandbox.write(Resource::new_own(connection), b"ready? corr".to_vec()).await.unwrap().unwrap();
    let began = Instant::now();
    assert_eq!(heard(&mut sandbox, connection, 1024, 11).await, "ready? corr");
    assert!(began.elapsed() < Duration::from_secs(10));
    server.abort();
}

#[tokio::test]
async fn connections_end_with_their_call_whatever_a_guest_keeps() {
    let (port, server) = echo().await;
    let fixture = Fixture::new();
    let granted = granting(port, &[]);
    let mut sandbox = fixture.sandbox(granted.clone());
    for _ in 0..20 {
        let mut kept = Vec::new();
        for _ in 0..SOCKETS_PER_CALL {
            kept.push(opened(&mut sandbox, port).await);
        }
        sandbox.rest();
        assert_eq!(fixture.doors.sockets.available_permits(), crate::imports::SOCKETS);
        sandbox.renew(fixture.setting(granted.clone()));
        let own = || Resource::<Connection>::new_own(kept[0]);
        assert_eq!(sandbox.read(own(), 1024).await.unwrap().unwrap(), b"");
        assert!(matches!(sandbox.write(own(), b"ping".to_vec()).await.unwrap(), Err(Error::Failed(_))));
        for connection in kept {
            HostConnection::drop(&mut sandbox, Resource::new_own(connection)).await.unwrap();
        }
    }
    server.abort();
}

#[tokio::test]
async fn one_instance_leaves_connections_to_others() {
    let (port, server) = echo().await;
    let fixture = Fixture::new();
    let granted = granting(port, &[]);
    let mut sandboxes = Vec::new();
    for _ in 0..crate::imports::SOCKETS_PER_INSTANCE / SOCKETS_PER_CALL {
        let mut sandbox = fixture.sandbox(granted.clone());
        for _ in 0..SOCKETS_PER_CALL {
            opened(&mut sandbox, port).await;
        }
        sandboxes.push(sandbox);
    }
    let local = Address::Tcp(("127.0.0.1".to_owned(), port));
    let mut one_more = fixture.sandbox(granted.clone());
    one_more.patience = Instant::now() + Duration::from_millis(50);
    let refused = HostConnection::connect(&mut one_more, local.clone()).await.unwrap();
    assert!(matches!(&refused, Err(Error::Limited(reason)) if reason.contains("an instance")), "{refused:?}");
    let mut other = fixture.sandbox(granted.clone());
    other.instance = "other/one".into();
    opened(&mut other, port).await;
    sandboxes.pop();
    one_more.patience = Instant::now() + Duration::from_secs(20);
    opened(&mut one_more, port).await;
    server.abort();
}

#[tokio::test]
async fn whom_a_call_was_talking_to_when_it_was_dropped_is_on_the_record() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(granting(port, &[]));
    let soon = Duration::from_millis(50);
    // Nobody answers the handshakes.
    let tls = HostConnection::connect(&mut sandbox, Address::Tls(("127.0.0.1".to_owned(), port)));
    assert!(tokio::time::timeout(soon, tls).await.is_err());
    let certificate = sandbox.peer_certificate("127.0.0.1".to_owned(), port);
    assert!(tokio::time::timeout(soon, certificate).await.is_err());
    let connection = opened(&mut sandbox, port).await;
    let shaken = sandbox.start_tls(Resource::new_own(connection), "localhost".to_owned());
    assert!(tokio::time::timeout(soon, shaken).await.is_err());
    let expected = [
        format!("audit.tcp certificate 127.0.0.1:{port}: interrupted"),
        format!("audit.tcp start-tls localhost at tcp 127.0.0.1:{port}: interrupted"),
        format!("audit.tcp tcp 127.0.0.1:{port}: ok"),
        format!("audit.tcp tls 127.0.0.1:{port}: interrupted"),
    ];
    assert_eq!(fixture.audit().await, expected);
}
