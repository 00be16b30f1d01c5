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
