//! Names, looked up by hickory with the system's configuration.

use super::outside::{Found, Names};
use async_trait::async_trait;
use hickory_resolver::proto::ProtoErrorKind;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::{ResolveError, TokioResolver};
use quarterdeck_model::domain::scrape::Record;
use tokio::sync::OnceCell;

/// The system's configuration is read when the first name is looked up.
#[derive(Default)]
pub(super) struct Dns(OnceCell<TokioResolver>);

impl Dns {
    async fn resolver(&self) -> Result<&TokioResolver, String> {
        let make = || async {
            let builder = TokioResolver::builder_tokio();
            builder.map(|builder| builder.build()).map_err(|error| format!("the resolver can't be set up: {error}"))
        };
        self.0.get_or_try_init(make).await
    }
}

#[async_trait]
impl Names for Dns {
    async fn look_up(&self, name: &str, record: Record) -> Result<Vec<Found>, String> {
        let resolver = self.resolver().await?;
        let address = |host: String| Found { host, port: None };
        let found = match record {
            Record::A => {
                resolver.ipv4_lookup(name).await.map(|found| found.iter().map(|ip| address(ip.to_string())).collect())
            }
            Record::Aaaa => {
                let shown = |ip: &hickory_resolver::proto::rr::rdata::AAAA| address(format!("[{}]", ip.0));
                resolver.ipv6_lookup(name).await.map(|found| found.iter().map(shown).collect())
            }
            Record::Srv => resolver.srv_lookup(name).await.map(|found| {
                let shown = |srv: &hickory_resolver::proto::rr::rdata::SRV| Found {
                    host: srv.target().to_string().trim_end_matches('.').to_owned(),
                    port: Some(srv.port()),
                };
                found.iter().map(shown).collect()
            }),
        };
        match found {
            // A name that is gone leads nowhere: that is an answer. A server that failed has given none.
            Err(error) if says_none(&error) => Ok(Vec::new()),
            found => found.map_err(|error| error.to_string()),
        }
    }
}

fn says_none(error: &ResolveError) -> bool {
    matches!(
        error.proto().map(|proto| proto.kind()),
        Some(ProtoErrorKind::NoRecordsFound { response_code: ResponseCode::NXDomain | ResponseCode::NoError, .. })
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::Resolver;
    use hickory_resolver::config::{NameServerConfigGroup, ResolverConfig, ResolverOpts};
    use hickory_resolver::name_server::TokioConnectionProvider;
    use hickory_resolver::proto::op::{Message, MessageType};
    use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
    use hickory_resolver::proto::rr::{Name, RData, RecordType};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::time::Duration;
    use tokio::net::UdpSocket;

    /// Asks this server, and asks it once.
    fn asking(server: SocketAddr) -> Dns {
        let servers = NameServerConfigGroup::from_ips_clear(&[server.ip()], server.port(), true);
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut options = ResolverOpts::default();
        (options.attempts, options.timeout) = (0, Duration::from_secs(5));
        let builder = Resolver::builder_with_config(config, TokioConnectionProvider::default());
        Dns(OnceCell::new_with(Some(builder.with_options(options).build())))
    }

    /// A server of names that knows a few of the domain `shop.test`, and fails for all others.
    async fn server() -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let asked = Message::from_vec(&buffer[..length]).unwrap();
                socket.send_to(&answered(&asked).to_vec().unwrap(), from).await.unwrap();
            }
        });
        address
    }

    fn answered(asked: &Message) -> Message {
        let query = asked.queries()[0].clone();
        let name = query.name().to_utf8();
        let host = |text: &str| Name::from_utf8(text).unwrap();
        let found = match (name.as_str(), query.query_type()) {
            ("web.shop.test.", RecordType::A) => {
                [[10, 0, 0, 1], [10, 0, 0, 2]].map(|ip| RData::A(A(Ipv4Addr::from(ip)))).to_vec()
            }
            ("web.shop.test.", RecordType::AAAA) => vec![RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))],
            ("_metrics._tcp.shop.test.", RecordType::SRV) => [("a.shop.test.", 9100), ("b.shop.test.", 9101)]
                .map(|(target, port)| RData::SRV(SRV::new(0, 0, port, host(target))))
                .to_vec(),
            _ => Vec::new(),
        };
        let mut message = Message::new();
        message.set_id(asked.id()).set_message_type(MessageType::Response).set_recursion_available(true);
        message.set_response_code(match name.as_str() {
            "gone.shop.test." => ResponseCode::NXDomain,
            name if name.ends_with("shop.test.") => ResponseCode::NoError,
            _ => ResponseCode::ServFail,
        });
        for data in found {
            message.add_answer(hickory_resolver::proto::rr::Record::from_rdata(query.name().clone(), 60, data));
        }
        message.add_query(query);
        message
    }

    #[tokio::test]
    async fn names_are_looked_up_by_each_type_of_record() {
        let dns = asking(server().await);
        let found = |host: &str, port| Found { host: host.to_owned(), port };
        let mut addresses = dns.look_up("web.shop.test.", Record::A).await.unwrap();
        addresses.sort_by(|a, b| a.host.cmp(&b.host));
        assert_eq!(addresses, [found("10.0.0.1", None), found("10.0.0.2", None)]);
        assert_eq!(dns.look_up("web.shop.test.", Record::Aaaa).await.unwrap(), [found("[::1]", None)]);
        let mut services = dns.look_up("_metrics._tcp.shop.test.", Record::Srv).await.unwrap();
        services.sort_by_key(|service| service.port);
        assert_eq!(services, [found("a.shop.test", Some(9100)), found("b.shop.test", Some(9101))]);
    }

    #[tokio::test]
    async fn a_name_that_is_gone_leads_nowhere_and_a_server_that_fails_gives_no_answer() {
        let dns = asking(server().await);
        assert_eq!(dns.look_up("gone.shop.test.", Record::A).await, Ok(Vec::new()), "no such name");
        assert_eq!(dns.look_up("web.shop.test.", Record::Srv).await, Ok(Vec::new()), "no record of the type");
        assert!(dns.look_up("web.elsewhere.test.", Record::A).await.is_err(), "the server failed");
    }
}
