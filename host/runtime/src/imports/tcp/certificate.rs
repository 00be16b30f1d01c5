//! What stands in a certificate.

use crate::bindings::host::tcp::Certificate;
use std::net::{Ipv4Addr, Ipv6Addr};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Names of one certificate that are read; some carry hundreds.
const MOST_NAMES: usize = 1000;

/// # Errors
/// It is not a certificate.
pub(super) fn read(der: &[u8]) -> Result<Certificate, String> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| format!("the certificate can't be read: {error}"))?;
    let names = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(name).take(MOST_NAMES).collect(),
        Ok(None) | Err(_) => Vec::new(),
    };
    Ok(Certificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_before_s: certificate.validity().not_before.timestamp(),
        not_after_s: certificate.validity().not_after.timestamp(),
        names,
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| Ipv4Addr::from(bytes).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(|bytes| Ipv6Addr::from(bytes).to_string())).ok()
        }
        _ => None,
    }
}
