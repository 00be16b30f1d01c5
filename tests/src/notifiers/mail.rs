//! Mail, to a real server: aiosmtpd, which asks for TLS and a login.

use super::{SOON, ended, tell};
use crate::harness::{Setup, counterpart, eventually};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PASSWORD: &str = "a password that the host keeps";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server, and its port.
async fn serve(python: &Path, folder: &Path) -> (Server, u16) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("server.py"), include_str!("mail.py")).unwrap();
    let server = Command::new(python)
        .arg(folder.join("server.py"))
        .args([folder.to_str().unwrap(), PASSWORD])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let server = Server(server);
    let port = eventually("the mail server's port", SOON, async || {
        std::fs::read_to_string(folder.join("port")).ok().and_then(|port| port.parse().ok())
    })
    .await;
    (server, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_arrives_over_starttls_with_a_login_once_though_the_server_was_busy_at_first() {
    let test = "a_mail_arrives_over_starttls_with_a_login_once_though_the_server_was_busy_at_first";
    let Some(python) = counterpart::python_with("aiosmtpd", test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_server, port) = serve(&python, folder.path()).await;
    let setup = Setup::new().config(&format!(
        "built-ins = false\n\
         [secrets]\nmail = {{ env = \"MAIL_PASSWORD\" }}\n\
         [instances.\"smtp/ops\"]\nplugin = \"smtp\"\n\
         grants = {{ tcp = [\"localhost:{port}\"], secret = [\"mail\"] }}\n\
         [instances.\"smtp/ops\".config]\n\
         server = \"localhost\"\nport = {port}\nuser = \"quarterdeck\"\npassword-secret = \"mail\"\n\
         from = \"Quarterdeck <quarterdeck@example.com>\"\n\
         to = [\"Ops <ops@example.com>\", \"nobody@example.com\"]\n\
         subject = \"Grüße: {{{{ title }}}}\"\n\
         [routes.test]\nevents = [\"custom.told\"]\nnotify = [\"smtp/ops\"]\n"
    ));
    let authorities = folder.path().join("certificate.pem");
    let setup = setup.variable("MAIL_PASSWORD", PASSWORD).variable("SSL_CERT_FILE", authorities.to_str().unwrap());
    let daemon = setup.start().await;
    tell(&daemon, "a").await;
    let told = ended(&daemon, "smtp/ops").await;
    assert_eq!((&told["state"], &told["attempts"]), (&json!("delivered"), &json!(2)), "{told:#}");

    let kept = std::fs::read_to_string(folder.path().join("mails")).unwrap();
    let mails: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(mails.len(), 1, "{mails:#?}");
    assert_eq!((&mails[0]["from"], &mails[0]["to"]), (&json!("quarterdeck@example.com"), &json!(["ops@example.com"])));
    let mail = mails[0]["mail"].as_str().unwrap();
    let id = format!("Message-ID: <{}@example.com>", told["id"].as_str().unwrap());
    assert!(mail.contains(&id), "{mail}");
    assert!(mail.contains("Subject: =?utf-8?"), "{mail}");
    assert!(mail.contains("text/plain") && mail.contains("text/html"), "{mail}");
    // The password stays with the host, and the mail's own words are no secret.
    assert!(!daemon.log().contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_that_is_not_trusted_gets_no_password() {
    let test = "a_mail_server_that_is_not_trusted_gets_no_password";
    let Some(python) = counterpart::python_with("aiosmtpd", test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_server, port) = serve(&python, folder.path()).await;
    let setup = Setup::new().config(&format!(
        "built-ins = false\n\
         [secrets]\nmail = {{ env = \"MAIL_PASSWORD\" }}\n\
         [instances.\"smtp/ops\"]\nplugin = \"smtp\"\n\
         grants = {{ tcp = [\"localhost:{port}\"], secret = [\"mail\"] }}\n\
         config = {{ server = \"localhost\", port = {port}, user = \"quarterdeck\", password-secret = \"mail\", \
         from = \"a@example.com\", to = [\"ops@example.com\"] }}\n\
         [routes.test]\nevents = [\"custom.told\"]\nnotify = [\"smtp/ops\"]\n"
    ));
    // Whoever signed something else.
    let other = rcgen::KeyPair::generate().unwrap();
    let other = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&other).unwrap();
    let authorities = folder.path().join("others.pem");
    std::fs::write(&authorities, other.pem()).unwrap();
    let setup = setup.variable("MAIL_PASSWORD", PASSWORD).variable("SSL_CERT_FILE", authorities.to_str().unwrap());
    let daemon = setup.start().await;
    tell(&daemon, "a").await;
    let waiting = eventually("a failed attempt", SOON, async || {
        let all = daemon.items("/api/v1/notifications").await;
        all.into_iter().find(|told| told["error"].is_string())
    })
    .await;
    assert_eq!(waiting["state"], "pending", "{waiting:#}");
    assert!(waiting["error"].as_str().unwrap().contains("certificate"), "{waiting:#}");
    assert!(!folder.path().join("mails").exists());
}
