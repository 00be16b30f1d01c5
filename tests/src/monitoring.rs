//! Collectors and the alerts that come of them, over real targets.

use crate::harness::receiver::Receiver;
use crate::harness::{Daemon, Setup, eventually};
use axum::Router;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SOON: Duration = Duration::from_secs(30);

async fn alert(daemon: &Daemon, rule: &str, instance: &str) -> Value {
    eventually(&format!("{rule} fires for {instance}"), SOON, async || {
        let of = |alert: &Value| {
            alert["rule"] == rule && alert["labels"]["instance"] == instance && alert["state"] == "firing"
        };
        daemon.items("/api/v1/alerts").await.into_iter().find(of)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_is_measured_as_down_and_its_collectors_stay_in_use() {
    let target = Receiver::start().await;
    target.hold("/");
    let collector = |plugin: &str| {
        format!(
            "[instances.\"{plugin}/hangs\"]\nplugin = \"{plugin}\"\nevery = \"200ms\"\nlimits = {{ deadline = \"1s\" }}\n\
             config = {{ url = \"{0}/\", timeout-ms = 60000 }}\ngrants = {{ http = [\"{0}\"] }}\n",
            target.url()
        )
    };
    let daemon =
        Setup::new().config(&format!("{}{}", collector("http-probe"), collector("prometheus-scrape"))).start().await;
    for (instance, metric, duration) in [
        ("http-probe/hangs", "probe_success", "probe_duration_seconds"),
        ("prometheus-scrape/hangs", "up", "scrape_duration_seconds"),
    ] {
        // More often than it takes to be quarantined for misbehaviour.
        let asked =
            |usage: &Value| usage["calls"].as_u64().unwrap().saturating_sub(usage["in_flight"].as_u64().unwrap());
        let shown = eventually("seven calls", SOON, async || {
            Some(daemon.get(&format!("/api/v1/instances/{instance}")).await).filter(|shown| asked(&shown["usage"]) >= 7)
        })
        .await;
        assert_eq!(shown["state"], "active", "{shown:#}");
        assert_eq!(shown["usage"]["failures"], serde_json::json!({}), "{shown:#}");
        assert_eq!(daemon.latest(&format!("metric={metric}&label=instance={instance}")).await, Some(0.0));
        let seconds = daemon.latest(&format!("metric={duration}&label=instance={instance}")).await.unwrap();
        assert!(seconds > 0.5, "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_can_not_collect_makes_an_alert_without_any_set_up() {
    let setup = Setup::new().config(
        "[instances.\"http-probe/denied\"]\nplugin = \"http-probe\"\nevery = \"200ms\"\n\
         config = { url = \"http://127.0.0.1:9/\" }\ngrants = { http = [\"http://127.0.0.1:10\"] }\n\
         [rules.collector-down]\nevery = \"200ms\"\nfor = \"0s\"\n",
    );
    let daemon = setup.start().await;
    let alert = alert(&daemon, "collector-down", "http-probe/denied").await;
    assert_eq!(alert["summary"], "http-probe/denied can't collect", "{alert:#}");
    let alerts = daemon.items("/api/v1/alerts").await;
    assert!(alerts.iter().all(|alert| alert["labels"]["instance"] != "system/local"), "{alerts:#?}");
}

/// Ends what serves a page when the test does.
struct Server(tokio::task::JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_page_of_metrics_is_scraped() {
    // The page of another daemon, with what that one does not have.
    let other = Setup::new().start().await;
    let figures = eventually("the figures of the other daemon", SOON, async || {
        let page = other.http().get(format!("{}/metrics", other.url)).send().await.unwrap().text().await.unwrap();
        page.contains("quarterdeck_").then_some(page)
    })
    .await;
    let page = format!(
        "{figures}\n# HELP  shop_orders_total \t Orders, \\\\ and \\n\n# TYPE shop_orders_total\tcounter\n\
         shop_orders_total{{ instance = \"db-1\", job=\"shop\", path=\"/\\\"a\\\"\", }}\t 7\nshop_limit +Inf\n"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/metrics", axum::routing::get(async move || page.clone()));
    let _server = Server(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    let setup = Setup::new().config(&format!(
        "[instances.\"prometheus-scrape/shop\"]\nplugin = \"prometheus-scrape\"\nevery = \"500ms\"\n\
         config = {{ url = \"{origin}/metrics\" }}\ngrants = {{ http = [\"{origin}\"] }}\n"
    ));
    let daemon = setup.start().await;
    let own = "label=instance=prometheus-scrape/shop";
    eventually("the page is read", SOON, async || {
        daemon.latest(&format!("metric=up&{own}")).await.filter(|up| *up == 1.0)
    })
    .await;
    let orders = daemon.items(&format!("/api/v1/metrics/latest?metric=shop_orders_total&{own}")).await.remove(0);
    assert_eq!(orders["value"], 7.0);
    let labels = &orders["labels"];
    assert_eq!((&labels["exported_instance"], &labels["exported_job"]), (&"db-1".into(), &"shop".into()), "{orders:#}");
    assert_eq!(labels["path"], "/\"a\"");
    let lines = figures.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
    let scraped = daemon.latest(&format!("metric=scrape_samples_scraped&{own}")).await.unwrap();
    assert_eq!(scraped, (lines + 2) as f64);
}

/// Answers every request over TLS with a certificate that ends in so many days, and the authority that signed it, in PEM.
async fn shop_over_tls(days: u64) -> (u16, String, Server) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority of the test");
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.not_after = (SystemTime::now() + Duration::from_secs(days * 86_400)).into();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.pem().as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                let page = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                let _ = stream.write_all(page).await;
            }
            let _ = stream.shutdown().await;
        }
    });
    (port, authority_certificate.pem(), Server(server))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_over_tls_says_how_long_the_certificate_is_good_for_trusted_or_not() {
    let (port, authority, _server) = shop_over_tls(9).await;
    let config = format!(
        "[instances.\"http-probe/shop\"]\nplugin = \"http-probe\"\nevery = \"500ms\"\n\
         config = {{ url = \"https://localhost:{port}/\" }}\n\
         grants = {{ http = [\"https://localhost:{port}\"], tcp = [\"localhost:{port}\"] }}\n"
    );
    let own = "label=instance=http-probe/shop";
    for trusted in [true, false] {
        let setup = Setup::new().config(&config);
        let bundle = setup.folder.path().join("authorities.pem");
        let (_, another, _unused) = shop_over_tls(1).await;
        std::fs::write(&bundle, if trusted { &authority } else { &another }).unwrap();
        let daemon = setup.variable("SSL_CERT_FILE", bundle.to_str().unwrap()).start().await;
        let days = eventually("the days that are left", SOON, async || {
            daemon.latest(&format!("metric=probe_tls_days_left&{own}")).await
        })
        .await;
        assert!((8.9..=9.0).contains(&days), "{days}");
        let success = daemon.latest(&format!("metric=probe_success&{own}")).await;
        assert_eq!(success, Some(if trusted { 1.0 } else { 0.0 }), "trusted: {trusted}");
    }
}
