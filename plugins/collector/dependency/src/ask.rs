//! One question to one dependency.

use crate::{Dependency, Kind};
use quarterdeck_sdk::Failure;
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::tcp::{Address, Connection};
use quarterdeck_sdk::http::{self, Request};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use std::io::{Read, Write};

/// `Err` inside: it is not there, and why.
pub(crate) type Answer = Result<(), String>;

/// # Errors
/// The host does not let us ask.
pub(crate) fn ask(dependency: &Dependency, timeout_ms: u64, now_ms: i64) -> Result<Answer, Failure> {
    match dependency.kind {
        Kind::Http => over_http(dependency, timeout_ms),
        Kind::Tcp => over_tcp(&dependency.target).map(|connected| connected.map(|_| ())),
        Kind::Dns => over_dns(dependency, u16::try_from(now_ms.rem_euclid(1 << 16)).unwrap_or_default()),
    }
}

fn over_http(dependency: &Dependency, timeout_ms: u64) -> Result<Answer, Failure> {
    let request = Request::get(&*dependency.target).timeout_ms(timeout_ms).max_body_bytes(0);
    match request.header("user-agent", concat!("quarterdeck-dependency/", env!("CARGO_PKG_VERSION"))).send() {
        Err(http::Error::Denied(message) | http::Error::Invalid(message)) => Err(Failure::Rejected(message)),
        Err(error) => Ok(Err(error.to_string())),
        Ok(response) => {
            let wanted = &dependency.expect_status;
            let fits = if wanted.is_empty() { response.is_success() } else { wanted.contains(&response.status) };
            Ok(if fits { Ok(()) } else { Err(format!("answered {}", response.status)) })
        }
    }
}

fn over_tcp(target: &str) -> Result<Result<Connection, String>, Failure> {
    let address = Address::parse(target).ok_or_else(|| Failure::rejected(format!("`{target}` is no address")))?;
    match Connection::connect(&address) {
        Ok(connection) => Ok(Ok(connection)),
        Err(Error::Failed(message)) => Ok(Err(message)),
        Err(other) => Err(other.into()),
    }
}

/// # Errors
/// The name is none.
pub(crate) fn query(name: &str) -> Result<Vec<u8>, String> {
    let said = |error: simple_dns::SimpleDnsError| error.to_string();
    let bare = name.trim_end_matches('.');
    if bare.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut packet = Packet::new_query(0);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(bare).map_err(said)?, TYPE::A.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(said)
}

/// Whether the name has an address of IPv4.
fn over_dns(dependency: &Dependency, id: u16) -> Result<Answer, Failure> {
    let server = dependency.server.as_deref().unwrap_or_default();
    let is_v6 = server.parse::<std::net::Ipv6Addr>().is_ok();
    let whole = match server.contains(':') && !is_v6 {
        true => server.to_owned(),
        false if is_v6 => format!("[{server}]:53"),
        false => format!("{server}:53"),
    };
    let mut connection = match over_tcp(&whole)? {
        Ok(connection) => connection,
        Err(message) => return Ok(Err(message)),
    };
    let mut query = query(&dependency.target).map_err(Failure::rejected)?;
    // The number of the question stands in front of it.
    for (own, byte) in query.iter_mut().zip(id.to_be_bytes()) {
        *own = byte;
    }
    let length = u16::try_from(query.len()).map_err(|error| Failure::rejected(error.to_string()))?;
    let mut exchange = || -> std::io::Result<Vec<u8>> {
        connection.write_all(&[&length.to_be_bytes(), query.as_slice()].concat())?;
        let mut length = [0; 2];
        connection.read_exact(&mut length)?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        connection.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = match exchange() {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(format!("the name server does not answer: {error}"))),
    };
    Ok(match Packet::parse(&bytes) {
        Err(error) => Err(format!("the name server's answer can't be read: {error}")),
        Ok(packet) if packet.id() != id => Err("the name server answered another question".to_owned()),
        Ok(packet) if packet.rcode() != RCODE::NoError => Err(format!("the name server says {:?}", packet.rcode())),
        Ok(packet) if !packet.answers.iter().any(|answer| answer.rdata.type_code() == TYPE::A) => {
            Err("the name has no address".to_owned())
        }
        Ok(_) => Ok(()),
    })
}
