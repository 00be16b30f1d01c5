use super::*;
use crate::imports::testing::{Fixture, grants, tls_server};
use http_body_util::{Empty, Full};
use quarterdeck_model::plugin::Limits;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wasmtime_wasi_http::WasiHttpView;

/// Keeps what it is asked, and answers by the path.
struct Server {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    while let Some(request) = receive(&mut stream).await {
                        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                        seen.lock().unwrap().push(request);
                        if let Some(packed) = packed(&path) {
                            if stream.write_all(&packed).await.is_err() {
                                return;
                            }
                            continue;
                        }
                        let answer = match path.as_str() {
                            "/moved" => {
                                "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n".to_owned()
                            }
                            "/large" => format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{}", "x".repeat(5000)),
                            "/halfway" => "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\nx".to_owned(),
                            "/hook/Jefe" => {
                                // As a service does that says what it does not know.
                                let body = "there is no /hook/Jefe";
                                format!(
                                    "HTTP/1.1 404 Not Found\r\nlocation: /hooks/Jefe\r\ncontent-length: {}\r\n\r\n{body}",
                                    body.len()
                                )
                            }
                            "/silent" => std::future::pending().await,
                            _ => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(),
                        };
                        if stream.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Server { port, heads, task }
    }

    fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn requests(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer with a secret in it, packed as the path says, whatever was asked for.
fn packed(path: &str) -> Option<Vec<u8>> {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write;
    let coding = path.strip_prefix("/packed/")?;
    let text = b"you said Jefe, and correct-horse-battery";
    let body = match coding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        _ => text.to_vec(),
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n", body.len());
    Some([head.as_bytes(), &body].concat())
}

/// Head and body of one request.
async fn receive(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        text.extend_from_slice(&buffer[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
                .map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(whole);
            }
        }
    }
}

fn get(url: &str) -> ::http::Request<WasiBody> {
    ::http::Request::get(url).body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap()
}

async fn send(sandbox: &mut Sandbox, request: ::http::Request<WasiBody>) -> Result<(u16, Vec<u8>), Error> {
    send_with(sandbox, request, None).await
}

async fn send_with(
    sandbox: &mut Sandbox,
    request: ::http::Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<(u16, Vec<u8>), Error> {
    let sent = sandbox.http().hooks.send_request(request, options, Box::new(async { Ok(()) }));
    let (response, _) = Box::into_pin(sent).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes().to_vec();
    Ok((status, body))
}

#[tokio::test]
async fn a_granted_origin_answers_and_what_was_used_is_counted() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    let request = ::http::Request::post(format!("{}/hook?token=1", server.origin()))
        .header("x-one", "1")
        .body(Full::new(Bytes::from_static(b"hello")).map_err(|never| match never {}).boxed_unsync())
        .unwrap();
    assert_eq!(send(&mut sandbox, request).await.unwrap(), (200, b"ok".to_vec()));
    let seen = server.requests().remove(0);
    assert!(seen.starts_with("POST /hook?token=1 HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("x-one: 1\r\n") && seen.contains("content-length: 5\r\n") && seen.ends_with("\r\n\r\nhello"),
        "{seen}"
    );
    sandbox.settle_http();
    let head = format!("POST{}/hook?token=1x-one1", server.origin());
    assert_eq!((sandbox.usage.bytes_in, sandbox.usage.bytes_out), (2, head.len() as u64 + 5));
    assert_eq!(sandbox.usage.host_calls[Capability::Http as usize], 1);
    assert_eq!(fixture.audit().await, [format!("audit.http POST {}/hook: 200", server.origin())]);
}

#[tokio::test]
async fn what_is_not_granted_never_leaves_the_host() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let by_name = format!("http://localhost:{}", server.port);
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec!["*".to_owned()]));
    assert!(matches!(send(&mut sandbox, get(&server.origin())).await, Err(Error::DestinationIpProhibited)));
    assert!(matches!(send(&mut sandbox, get(&by_name)).await, Err(Error::DestinationIpProhibited)));
    let mut none = fixture.sandbox(grants(|_| ()));
    assert!(matches!(send(&mut none, get("http://does-not-exist.invalid/")).await, Err(Error::HttpRequestDenied)));
    let mut pure = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    pure.pure = true;
    assert!(matches!(send(&mut pure, get(&server.origin())).await, Err(Error::HttpRequestDenied)));
    // A name that is granted literally goes through the look-up.
    let mut named = fixture.sandbox(grants(|grants| grants.http = vec![by_name.clone()]));
    assert_eq!(send(&mut named, get(&by_name)).await.unwrap().0, 200);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    assert_eq!(send(&mut sandbox, get(&format!("{}/moved", server.origin()))).await.unwrap().0, 302);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn of_the_host_itself_only_health_is_reached() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    fixture.own(server.port);
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    assert_eq!(send(&mut sandbox, get(&format!("{}/healthz", server.origin()))).await.unwrap().0, 200);
    let api = format!("{}/api/v1/plugins", server.origin());
    assert!(matches!(send(&mut sandbox, get(&api)).await, Err(Error::DestinationIpProhibited)));
    assert!(server.requests()[0].to_ascii_lowercase().contains("connection: close\r\n"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn bodies_are_bounded_either_way() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    sandbox.limits = Arc::new(Limits { io_bytes: 4096, ..Limits::default() });
    let large = send(&mut sandbox, get(&format!("{}/large", server.origin()))).await;
    assert!(matches!(large, Err(Error::HttpResponseBodySize(Some(4096)))), "{large:?}");
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    sandbox.limits = Arc::new(Limits { io_bytes: 4096, ..Limits::default() });
    let body = Full::new(Bytes::from(vec![0; 5000])).map_err(|never| match never {}).boxed_unsync();
    let request = ::http::Request::post(server.origin()).body(body).unwrap();
    assert!(matches!(send(&mut sandbox, request).await, Err(Error::HttpRequestBodySize(_))));
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    sandbox.limits = Arc::new(Limits { io_bytes: 4096, ..Limits::default() });
    let in_url = get(&format!("{}/{}", server.origin(), "x".repeat(3000)));
    assert_eq!(send(&mut sandbox, in_url).await.unwrap().0, 200);
    let mut in_header = get(&server.origin());
    in_header.headers_mut().insert("x-data", "x".repeat(1100).parse().unwrap());
    let refused = send(&mut sandbox, in_header).await;
    assert!(matches!(refused, Err(Error::HttpRequestHeaderSectionSize(_))), "{refused:?}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn host_calls_run_out() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    sandbox.limits = Arc::new(Limits { host_calls: 2, ..Limits::default() });
    for _ in 0..2 {
        send(&mut sandbox, get(&server.origin())).await.unwrap();
    }
    assert!(matches!(send(&mut sandbox, get(&server.origin())).await, Err(Error::InternalError(Some(_)))));
    assert!(sandbox.count(Capability::Kv).is_ok() || sandbox.usage.host_calls[Capability::Http as usize] >= 2);
}

#[tokio::test]
async fn a_silent_server_is_given_up_on() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    let short = Some(Duration::from_millis(100));
    let options = RequestOptions { connect_timeout: short, first_byte_timeout: short, between_bytes_timeout: short };
    let began = std::time::Instant::now();
    let silent = send_with(&mut sandbox, get(&format!("{}/silent", server.origin())), Some(options)).await;
    assert!(matches!(silent, Err(Error::HttpResponseTimeout)), "{silent:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_silent_server_is_given_up_on_before_the_call_is_over_however_long_the_plugin_would_wait() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    sandbox.patience = std::time::Instant::now() + Duration::from_millis(200);
    let silent = send(&mut sandbox, get(&format!("{}/silent", server.origin()))).await;
    assert!(matches!(silent, Err(Error::HttpResponseTimeout)), "{silent:?}");
    let mut halfway = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    halfway.patience = std::time::Instant::now() + Duration::from_millis(500);
    let broken = send(&mut halfway, get(&format!("{}/halfway", server.origin()))).await;
    assert!(matches!(broken, Err(Error::ConnectionReadTimeout | Error::HttpResponseTimeout)), "{broken:?}");
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| grants.http = vec![origin.clone()]));
    let refused = send(&mut sandbox, get(&origin)).await;
    assert!(matches!(refused, Err(Error::ConnectionRefused)), "{refused:?}");
}

#[tokio::test]
async fn a_secret_stands_in_the_header_that_leaves() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| {
        grants.http = vec![server.origin()];
        grants.secret = vec!["jefe".to_owned()];
    }));
    use crate::bindings::host::secret::Host;
    let placeholder = sandbox.header_value("jefe".to_owned()).await.unwrap().unwrap();
    let mut request = get(&server.origin());
    request.headers_mut().insert("authorization", format!("Bearer {placeholder}").parse().unwrap());
    send(&mut sandbox, request).await.unwrap();
    assert!(server.requests()[0].contains("authorization: Bearer Jefe\r\n"));
    assert!(fixture.audit().await.iter().all(|line| !line.contains("Jefe")));
}

#[tokio::test]
async fn a_secret_stands_in_the_body_that_leaves_with_its_own_length() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| {
        grants.http = vec![server.origin()];
        grants.secret = vec!["jefe".to_owned()];
    }));
    use crate::bindings::host::secret::Host;
    let placeholder = sandbox.header_value("jefe".to_owned()).await.unwrap().unwrap();
    let body = Full::new(Bytes::from(format!(r#"{{"routing_key":"{placeholder}"}}"#)));
    let request = ::http::Request::post(server.origin())
        .header("content-type", "application/json")
        .body(body.map_err(|never| match never {}).boxed_unsync())
        .unwrap();
    send(&mut sandbox, request).await.unwrap();
    let seen = server.requests().remove(0);
    assert!(seen.contains("content-length: 22\r\n") && seen.ends_with("\r\n\r\n{\"routing_key\":\"Jefe\"}"), "{seen}");
    assert!(fixture.audit().await.iter().all(|line| !line.contains("Jefe")));
}

#[tokio::test]
async fn what_a_service_says_of_the_secret_that_it_was_sent_shows_its_placeholder() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| {
        grants.http = vec![server.origin()];
        grants.secret = vec!["jefe".to_owned()];
    }));
    use crate::bindings::host::secret::Host;
    let placeholder = sandbox.header_value("jefe".to_owned()).await.unwrap().unwrap();
    let request = get(&format!("{}/hook/{placeholder}", server.origin()));
    let sent = sandbox.http().hooks.send_request(request, None, Box::new(async { Ok(()) }));
    let (response, _) = Box::into_pin(sent).await.unwrap();
    assert_eq!(response.headers().get("location").unwrap(), &format!("/hooks/{placeholder}"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, format!("there is no /hook/{placeholder}"));
    // The same of a secret that another request has left there.
    let (_, read) = send(&mut sandbox, get(&format!("{}/hook/Jefe", server.origin()))).await.unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), format!("there is no /hook/{placeholder}"));
    // To whom it is not granted it is a word as any other.
    let mut other = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    let read = send(&mut other, get(&format!("{}/hook/Jefe", server.origin()))).await.unwrap();
    assert_eq!(read, (404, b"there is no /hook/Jefe".to_vec()));
}

#[tokio::test]
async fn a_secret_in_a_packed_answer_shows_its_placeholder_too() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let mut sandbox = fixture.sandbox(grants(|grants| {
        grants.http = vec![server.origin()];
        grants.secret = vec!["jefe".to_owned(), "token".to_owned()];
    }));
    use crate::bindings::host::secret::Host;
    let jefe = sandbox.header_value("jefe".to_owned()).await.unwrap().unwrap();
    let token = sandbox.header_value("token".to_owned()).await.unwrap().unwrap();
    let shown = format!("you said {jefe}, and {token}");
    for coding in ["gzip", "deflate", "identity"] {
        let mut asked = get(&format!("{}/packed/{coding}", server.origin()));
        asked.headers_mut().insert("accept-encoding", "gzip, br".parse().unwrap());
        let sent = sandbox.http().hooks.send_request(asked, None, Box::new(async { Ok(()) }));
        let (response, _) = Box::into_pin(sent).await.unwrap();
        assert!(response.headers().get("content-encoding").is_none(), "{coding}: it is not packed any more");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(String::from_utf8_lossy(&body), shown, "{coding}");
        let request = server.requests().pop().unwrap().to_lowercase();
        assert!(request.contains("accept-encoding: identity\r\n") && !request.contains("br"), "{request}");
    }
    // What can't be unpacked here could be by the plugin.
    let refused = send(&mut sandbox, get(&format!("{}/packed/br", server.origin()))).await;
    assert!(matches!(refused, Err(Error::HttpResponseContentCoding(Some(ref name))) if name == "br"), "{refused:?}");
    // Who holds no secret gets what is sent.
    let mut other = fixture.sandbox(grants(|grants| grants.http = vec![server.origin()]));
    let (_, body) = send(&mut other, get(&format!("{}/packed/gzip", server.origin()))).await.unwrap();
    assert_eq!(body.get(..2), Some([0x1f, 0x8b].as_slice()));
    let (_, body) = send(&mut other, get(&format!("{}/packed/br", server.origin()))).await.unwrap();
    assert_eq!(body, b"you said Jefe, and correct-horse-battery");
}

#[tokio::test]
async fn bodies_and_requests_end_with_their_call_whatever_a_guest_keeps() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let granted = grants(|grants| grants.http = vec![server.origin()]);
    let mut sandbox = fixture.sandbox(granted.clone());
    let kept = sandbox.http().hooks.send_request(
        get(&format!("{}/halfway", server.origin())),
        None,
        Box::new(async { Ok(()) }),
    );
    let (kept, _) = Box::into_pin(kept).await.unwrap();
    let silent = get(&format!("{}/silent", server.origin()));
    let silent = Box::into_pin(sandbox.http().hooks.send_request(silent, None, Box::new(async { Ok(()) })));
    let under_way = tokio::spawn(silent);
    crate::testing::eventually("the request", || (server.requests().len() == 2).then_some(())).await;
    sandbox.rest();
    let ended = under_way.await.unwrap();
    assert!(matches!(ended.err(), Some(Error::ConnectionTerminated)));
    assert_eq!(fixture.doors.sockets.available_permits(), crate::imports::SOCKETS);
    assert!(matches!(kept.into_body().collect().await, Err(Error::ConnectionTerminated)));
    sandbox.renew(fixture.setting(granted));
    assert_eq!(send(&mut sandbox, get(&server.origin())).await.unwrap().0, 200, "the next call has its own");
}

#[tokio::test]
async fn certificates_are_verified() {
    let (port, server) = tls_server().await;
    let url = format!("https://localhost:{port}/");
    let granted = || grants(|grants| grants.http = vec![url.clone()]);
    assert_eq!(send(&mut Fixture::trusting().sandbox(granted()), get(&url)).await.unwrap(), (200, b"ok".to_vec()));
    let refused = send(&mut Fixture::new().sandbox(granted()), get(&url)).await;
    assert!(matches!(refused, Err(Error::TlsCertificateError)), "{refused:?}");
    server.abort();
}

#[tokio::test]
async fn an_engine_fetches_through_the_same_door() {
    let server = Server::start().await;
    let fixture = Fixture::new();
    let fetch = fixture.doors.fetch();
    let page = fetch.get(&format!("{}/large", server.origin()), &[server.origin()], 100, None).await.unwrap();
    assert_eq!((page.status, page.body.len()), (200, 100));
    assert!(page.headers.contains(&("content-length".to_owned(), "5000".to_owned())));
    assert!(fetch.get(&server.origin(), &["*".to_owned()], 100, None).await.unwrap_err().contains("loopback"));
    assert!(fetch.get("not a url", &["*".to_owned()], 100, None).await.is_err());
    assert_eq!(server.requests().len(), 1);
    let stranger = Some("https://stranger.invalid");
    fetch.get(&format!("{}/large", server.origin()), &[server.origin()], 100, stranger).await.unwrap();
    let request = server.requests().pop().unwrap();
    assert!(request.to_lowercase().contains("origin: https://stranger.invalid"), "{request}");
}
