//! A question as bytes, and what the bytes of an answer say.

use crate::Type;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, TYPE};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a server said.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    /// Of the type that was asked for; names that lead to them are left out.
    pub(crate) records: Vec<Record>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) text: String,
    pub(crate) ttl: u32,
}

impl Answer {
    pub(crate) fn words(&self) -> String {
        match self.code {
            0 => "no error".to_owned(),
            1 => "malformed question".to_owned(),
            2 => "server failure".to_owned(),
            3 => "no such name".to_owned(),
            4 => "not implemented".to_owned(),
            5 => "refused".to_owned(),
            code => format!("response code {code}"),
        }
    }
}

fn of_type(wanted: Type) -> TYPE {
    match wanted {
        Type::A => TYPE::A,
        Type::Aaaa => TYPE::AAAA,
        Type::Txt => TYPE::TXT,
        Type::Srv => TYPE::SRV,
        Type::Cname => TYPE::CNAME,
        Type::Mx => TYPE::MX,
        Type::Ns => TYPE::NS,
    }
}

/// # Errors
/// The name is none.
pub(crate) fn query(id: u16, name: &str, wanted: Type) -> Result<Vec<u8>, String> {
    let said = |error: simple_dns::SimpleDnsError| error.to_string();
    let bare = name.trim_end_matches('.');
    if bare.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(bare).map_err(said)?;
    packet.questions.push(Question::new(name, of_type(wanted).into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(said)
}

/// # Errors
/// It is no answer, one to another question, or not all of it.
pub(crate) fn answer(bytes: &[u8], id: u16, wanted: Type) -> Result<Answer, String> {
    let packet = Packet::parse(bytes).map_err(|error| format!("the answer can't be read: {error}"))?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return Err("the server answered another question".to_owned());
    }
    // A stream has room for any answer. A server that asks another one, and over UDP only, hands on what that one has cut.
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Err("the server has cut its answer off, although it was asked over TCP".to_owned());
    }
    let records = packet.answers.iter().filter(|record| record.rdata.type_code() == of_type(wanted));
    let records = records.filter_map(|record| Some(Record { text: text(&record.rdata)?, ttl: record.ttl }));
    Ok(Answer { code: packet.rcode() as u16, records: records.collect() })
}

fn text(data: &RData<'_>) -> Option<String> {
    Some(match data {
        RData::A(a) => Ipv4Addr::from(a.address).to_string(),
        RData::AAAA(aaaa) => Ipv6Addr::from(aaaa.address).to_string(),
        RData::TXT(txt) => String::try_from(txt.clone()).ok()?,
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target),
        RData::CNAME(name) => name.0.to_string(),
        RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange),
        RData::NS(name) => name.0.to_string(),
        _ => return None,
    })
}
