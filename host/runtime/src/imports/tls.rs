//! TLS as a client: whom the host trusts, and a look at certificates that trusts nobody.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use tokio::sync::OnceCell;

pub(super) struct Tls {
    extra: Vec<CertificateDer<'static>>,
    /// Made when first needed: reading the machine's certificates takes milliseconds and a megabyte.
    trusting: OnceCell<ClientConfig>,
}

impl Tls {
    /// # Errors
    /// What in `roots` is not a certificate in PEM.
    pub(super) fn new(roots: &[Vec<u8>]) -> Result<Self, String> {
        // Another part of the process may have installed one before; any will do for whoever asks for the default.
        let _ = ring::default_provider().install_default();
        let mut extra = Vec::new();
        for pem in roots {
            let before = extra.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                extra.push(certificate.map_err(|error| error.to_string())?);
            }
            if extra.len() == before {
                return Err("there is none in it".to_owned());
            }
        }
        let mut store = RootCertStore::empty();
        for certificate in &extra {
            store.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        Ok(Tls { extra, trusting: OnceCell::new() })
    }

    /// Trusts the machine's certificates and those of the configuration. A machine without any trusts nobody, and every
    /// handshake says so.
    ///
    /// # Errors
    /// The reading was cut off.
    pub(super) async fn trusting(&self) -> Result<ClientConfig, String> {
        let make = || async {
            let extra = self.extra.clone();
            tokio::task::spawn_blocking(move || trusting(extra)).await.map_err(|error| error.to_string())?
        };
        self.trusting.get_or_try_init(make).await.cloned()
    }

    /// Accepts whatever is presented, to look at it. Nothing may be sent over what comes of it.
    pub(super) fn looking() -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(provider)))
            .with_no_client_auth();
        Ok(config)
    }
}

fn trusting(extra: Vec<CertificateDer<'static>>) -> Result<ClientConfig, String> {
    let mut store = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "some of the machine's certificates can't be read");
    }
    store.add_parsable_certificates(native.certs);
    store.add_parsable_certificates(extra);
    if store.is_empty() {
        tracing::warn!("this machine trusts no certificates; hint: install its `ca-certificates`");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}

/// Checks that the peer holds the key of what it presents, and nothing else.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
