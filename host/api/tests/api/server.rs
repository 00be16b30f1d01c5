//! Real connections.

use crate::support::deck;
use quarterdeck_api::serve;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

async fn head(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") {
        timeout(SOON, stream.read_exact(&mut byte)).await.unwrap().unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

#[tokio::test]
async fn the_server_drains_and_ends_with_streams_open() {
    let deck = deck().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, deck.router.clone(), deck.shutdown.clone()));

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let answer = head(&mut plain).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("nosniff"), "{answer}");

    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(format!("GET /api/v1/events/stream HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    assert!(head(&mut open).await.starts_with("HTTP/1.1 200"));

    let begun = Instant::now();
    deck.shutdown.cancel();
    timeout(SOON, server).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let mut rest = Vec::new();
    timeout(SOON, open.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// A server over a deck, and where it is.
async fn served() -> (crate::support::Deck, std::net::SocketAddr) {
    let deck = deck().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, deck.router.clone(), deck.shutdown.clone()));
    (deck, address)
}

#[tokio::test]
async fn a_client_that_reads_nothing_while_it_sends_gets_the_refusal_of_its_body() {
    let (_deck, address) = served().await;
    // More than buffers on the way hold.
    let body = vec![b' '; 7 << 20];
    for announced in [true, false] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length =
            if announced { format!("Content-Length: {}", body.len()) } else { "Transfer-Encoding: chunked".to_owned() };
        let head_sent = format!(
            "POST /api/v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{length}\r\n\r\n",
            crate::support::TOKEN
        );
        stream.write_all(head_sent.as_bytes()).await.unwrap();
        if !announced {
            stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await.unwrap();
        }
        timeout(SOON, stream.write_all(&body)).await.unwrap().unwrap();
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 413"), "announced: {announced}");
        let mut rest = Vec::new();
        timeout(SOON, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert!(rest.starts_with(b"{\"type\":\"urn:quarterdeck:problem:too-large\""), "announced: {announced}");
    }
}

#[tokio::test]
async fn what_is_no_readable_request_is_answered_as_the_document_says() {
    let (_deck, address) = served().await;
    let long = "x".repeat(70_000);
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /{long} HTTP/1.1\r\nHost: {address}\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200)), 431),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = head(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("content-length: 0"), "{answer}");
        assert!(quarterdeck_api::openapi().contains(&status.to_string()));
    }
}
