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
