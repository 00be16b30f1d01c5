//! Over TLS, with an authority, a server and a client of the test's own making.

use super::*;
use quarterdeck_model::Span;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for this name and its key, in PEM.
fn certified(by: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, by).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A target with a certificate for `localhost`. `clients`: it answers those only whom this authority has certified. Returns its port.
async fn target(by: &Authority, clients: Option<&Authority>) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = match clients {
        None => builder.unwrap().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.unwrap().with_client_cert_verifier(verifier.unwrap())
        }
    };
    let (certificate, key) = certified(by, "localhost");
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate], key).unwrap()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                let page = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nup 1\n";
                let _ = stream.write_all(page).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    port
}

fn written(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

async fn asked(http: &Http, url: String, tls: &TlsConfig) -> Result<String, String> {
    let ask = Ask {
        url,
        within: Span::from_secs(10),
        limit: 1000,
        follow_redirects: true,
        basic_auth: None,
        authorization: None,
        tls: tls.clone(),
    };
    http.ask(&ask).await.map(|answer| String::from_utf8(answer.body).unwrap())
}

#[tokio::test]
async fn a_target_is_believed_whose_authority_is_named_and_no_other() {
    let (ours, other) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let http = Http::default();
    let port = target(&ours, None).await;
    let url = || format!("https://localhost:{port}/metrics");
    let trusts = |authority: &Authority, name| TlsConfig {
        ca_file: Some(written(&folder, name, &authority.pem())),
        ..TlsConfig::default()
    };
    assert_eq!(asked(&http, url(), &trusts(&ours, "ours.pem")).await, Ok("up 1\n".to_owned()));
    let refused = asked(&http, url(), &trusts(&other, "other.pem")).await.unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    assert!(asked(&http, url(), &TlsConfig::default()).await.is_err(), "the system does not know it");
    let renamed = asked(&http, format!("https://127.0.0.1:{port}/metrics"), &trusts(&ours, "ours.pem")).await;
    assert!(renamed.unwrap_err().contains("not valid for name"), "the certificate is of another name");
    let any = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
    assert_eq!(asked(&http, url(), &any).await, Ok("up 1\n".to_owned()), "whoever asks for that");
}

#[tokio::test]
async fn a_target_that_wants_a_certificate_gets_that_of_the_job() {
    let (ours, clients, other) = (authority(), authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let http = Http::default();
    let url = format!("https://localhost:{}/metrics", target(&ours, Some(&clients)).await);
    let mut tls = TlsConfig { ca_file: Some(written(&folder, "ca.pem", &ours.pem())), ..TlsConfig::default() };
    assert!(asked(&http, url.clone(), &tls).await.is_err(), "there is none");
    let mut write = |by: &Authority| {
        let (certificate, key) = certified(by, "scraper");
        tls.cert_file = Some(written(&folder, "cert.pem", &certificate));
        tls.key_file = Some(written(&folder, "key.pem", &key));
        tls.clone()
    };
    let tls = write(&other);
    assert!(asked(&http, url.clone(), &tls).await.is_err(), "it is of another authority");
    // Files that are written anew hold from the next scrape on.
    let tls = write(&clients);
    let later = SystemTime::now() + Duration::from_secs(5);
    std::fs::File::options().append(true).open(folder.path().join("cert.pem")).unwrap().set_modified(later).unwrap();
    assert_eq!(asked(&http, url, &tls).await, Ok("up 1\n".to_owned()));
}

#[tokio::test]
async fn certificates_that_can_not_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let http = Http::default();
    let port = target(&authority(), None).await;
    for (name, text) in [("broken.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")] {
        let tls = TlsConfig { ca_file: Some(written(&folder, name, text)), ..TlsConfig::default() };
        let refused = asked(&http, format!("https://localhost:{port}/"), &tls).await.unwrap_err();
        assert!(refused.contains(name), "{refused}");
    }
    let tls = TlsConfig { ca_file: Some(folder.path().join("none.pem")), ..TlsConfig::default() };
    let refused = asked(&http, format!("https://localhost:{port}/"), &tls).await.unwrap_err();
    assert!(refused.contains("none.pem") && refused.contains("No such file"), "{refused}");
}
