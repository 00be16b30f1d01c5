use super::*;
use quarterdeck_plugin_support::testing::{firing, group};
use quarterdeck_sdk::host::Error;
use quarterdeck_sdk::host::tcp::Address;
use quarterdeck_sdk::serde_json::json;
use quarterdeck_sdk::testing::FakeHost;
use quarterdeck_sdk::{json, serde_json};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::rc::Rc;

/// A mail server that answers by the beginning of what it is told.
#[derive(Default)]
struct Server {
    greeting: &'static str,
    extensions: &'static str,
    /// Answers that differ from those of a server that takes everything.
    answers: Vec<(&'static str, &'static str)>,
    out: VecDeque<u8>,
    line: Vec<u8>,
    said: Vec<String>,
    in_data: bool,
    mail: String,
}

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Server>>);

impl Server {
    fn hear(&mut self, line: &str) {
        if self.in_data {
            if line == "." {
                self.in_data = false;
                self.answer("END", "250 queued as 7");
            } else {
                self.mail.push_str(line.strip_prefix('.').unwrap_or(line));
                self.mail.push('\n');
            }
            return;
        }
        self.said.push(line.to_owned());
        let hello = format!("250-mail\r\n{}250 OK", self.extensions);
        let usual = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => hello.as_str(),
            "STARTTLS" => "220 go",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            "AUTH" if line.starts_with("AUTH PLAIN ") => "235 in",
            "AUTH" => "334 VXNlcg==",
            // Of AUTH LOGIN: first the name, then the password.
            "dXNlcg==" => "334 UGFzcw==",
            "c2VjcmV0Om1haWw=" => "235 in",
            _ => "250 OK",
        };
        self.in_data = line == "DATA";
        self.answer(line, usual);
    }

    fn answer(&mut self, line: &str, usual: &str) {
        let given = self.answers.iter().find(|(begins, _)| line.starts_with(begins)).map(|(_, answer)| *answer);
        self.out.extend(given.unwrap_or(usual).bytes().chain(*b"\r\n"));
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().out.read(buffer)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut server = self.0.borrow_mut();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut server.line);
                server.hear(String::from_utf8(line).unwrap().trim_end_matches('\r'));
            } else {
                server.line.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What came of it, the server, where it was called, and with whom TLS was begun.
struct Played {
    result: Result<Outcome, Failure>,
    server: Shared,
    addresses: Vec<Address>,
    tls: Vec<String>,
    kv: BTreeMap<String, Vec<u8>>,
}

fn play(json: &str, message: &Message, server: Server) -> Played {
    play_on(json, server, BTreeMap::new(), |config| Smtp::notify(config, message, "eff_1"))
}

/// With what is kept already.
fn play_on(
    json: &str,
    server: Server,
    kv: BTreeMap<String, Vec<u8>>,
    call: impl FnOnce(&Config) -> Result<Outcome, Failure>,
) -> Played {
    let config: Config = serde_json::from_str(json).unwrap();
    assert!(Smtp::validate(&config).is_empty(), "{:?}", Smtp::validate(&config));
    let greeting = if server.greeting.is_empty() { "220 mail" } else { server.greeting };
    let shared = Shared(Rc::new(RefCell::new(server)));
    shared.0.borrow_mut().out.extend(greeting.bytes().chain(*b"\r\n"));
    let (inner, addresses) = (shared.clone(), Rc::new(RefCell::new(Vec::new())));
    let called = Rc::clone(&addresses);
    let host = FakeHost {
        tcp: Some(Box::new(move |address| {
            called.borrow_mut().push(address.clone());
            Ok(Box::new(inner.clone()))
        })),
        kv,
        ..FakeHost::default()
    };
    let (result, host) = host.run(|| call(&config));
    let addresses = addresses.borrow().clone();
    Played { result, server: shared, addresses, tls: host.tls, kv: host.kv }
}

const PLAIN: &str = r#"{"server":"127.0.0.1","port":2525,"security":"none",
    "from":"Quarterdeck <quarterdeck@example.com>","to":["ops@example.com"]}"#;

const TLS: &str = r#"{"server":"mail.example.com","from":"quarterdeck@example.com","to":["ops@example.com"],
    "user":"user","password-secret":"mail"}"#;

fn header<'a>(mail: &'a str, name: &str) -> &'a str {
    mail.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("{name}: {mail}"))
}

#[test]
fn a_mail_has_text_and_html_and_the_same_id_in_every_attempt() {
    let played = play(PLAIN, &firing(), Server { extensions: "250-SIZE 1000000\r\n", ..Server::default() });
    let expected =
        Outcome::done().with("message_id", "eff_1@example.com").with("recipients", 1).with("answer", "queued as 7");
    assert_eq!(played.result, Ok(expected));
    assert_eq!(played.addresses, [Address::Tcp("127.0.0.1".into(), 2525)]);
    let server = played.server.0.borrow();
    let size = server.said[1].strip_prefix("MAIL FROM:<quarterdeck@example.com> SIZE=").unwrap();
    assert!(size.parse::<usize>().unwrap() > 500, "{size}");
    assert_eq!(server.said[0], "EHLO localhost");
    assert_eq!(server.said[2..], ["RCPT TO:<ops@example.com>", "DATA", "QUIT"]);
    let mail = &server.mail;
    assert_eq!(header(mail, "Message-ID"), "<eff_1@example.com>");
    assert_eq!(header(mail, "Subject"), "[FIRING CRITICAL] The CPU is 97 % busy");
    assert_eq!(header(mail, "Date"), "Fri, 2 Jan 2026 03:04:05 +0000");
    assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
    assert!(header(mail, "From").ends_with("<quarterdeck@example.com>"), "{mail}");
    assert!(
        mail.contains("multipart/alternative") && mail.contains("text/plain") && mail.contains("text/html"),
        "{mail}"
    );
    assert!(mail.contains("Reason: above 95"), "{mail}");
}

#[test]
fn it_logs_in_over_tls_and_the_password_is_filled_in_by_the_host() {
    let server = Server { extensions: "250-STARTTLS\r\n250-AUTH LOGIN PLAIN\r\n", ..Server::default() };
    let played = play(TLS, &firing(), server);
    assert!(played.result.is_ok(), "{:?}", played.result);
    assert_eq!(played.addresses, [Address::Tcp("mail.example.com".into(), 587)]);
    assert_eq!(played.tls, ["mail.example.com"]);
    let said = &played.server.0.borrow().said;
    // Of NUL, `user`, NUL, and what the fake host writes for the secret.
    assert_eq!(said[..4], ["EHLO localhost", "STARTTLS", "EHLO localhost", "AUTH PLAIN AHVzZXIAc2VjcmV0Om1haWw="]);
}

#[test]
fn it_logs_in_as_the_server_offers_it() {
    let server = Server { extensions: "250-STARTTLS\r\n250 AUTH=LOGIN\r\n", ..Server::default() };
    // The list of extensions ends with the first line that has no dash.
    let played = play(TLS, &firing(), Server { extensions: "250-STARTTLS\r\n250-AUTH LOGIN\r\n", ..server });
    assert!(played.result.is_ok(), "{:?}", played.result);
    assert_eq!(played.server.0.borrow().said[3..6], ["AUTH LOGIN", "dXNlcg==", "c2VjcmV0Om1haWw="]);
}

#[test]
fn implicit_tls_is_tls_from_the_beginning() {
    let json = TLS.replace("\"user\":", "\"security\":\"implicit-tls\",\"user\":");
    let played = play(&json, &firing(), Server { extensions: "250-AUTH PLAIN\r\n", ..Server::default() });
    assert!(played.result.is_ok(), "{:?}", played.result);
    assert_eq!(played.addresses, [Address::Tls("mail.example.com".into(), 465)]);
    assert!(played.tls.is_empty());
}

#[test]
fn nothing_is_said_in_the_clear_where_tls_was_wanted() {
    let played = play(TLS, &firing(), Server { extensions: "250-AUTH PLAIN\r\n", ..Server::default() });
    assert!(
        matches!(&played.result, Err(Failure::Rejected(why)) if why.contains("no STARTTLS")),
        "{:?}",
        played.result
    );
    let server = Server {
        extensions: "250-STARTTLS\r\n",
        answers: vec![("STARTTLS", "220 go\r\n250-AUTH PLAIN\r\n250 OK")],
        ..Server::default()
    };
    let played = play(TLS, &firing(), server);
    assert!(
        matches!(&played.result, Err(Failure::Rejected(why)) if why.contains("in the clear")),
        "{:?}",
        played.result
    );
    assert!(!played.server.0.borrow().said.iter().any(|line| line.starts_with("AUTH")));
}

#[test]
fn what_passes_is_tried_again_and_what_stays_is_not() {
    for (begins, answer, passes) in [
        ("MAIL", "451 try later", true),
        ("MAIL", "550 not you", false),
        ("RCPT", "450 busy", true),
        ("RCPT", "550 no such user", false),
        ("DATA", "554 no", false),
        ("END", "452 full", true),
        ("END", "554 spam", false),
    ] {
        let played = play(PLAIN, &firing(), Server { answers: vec![(begins, answer)], ..Server::default() });
        let failure = played.result.unwrap_err();
        assert_eq!(matches!(failure, Failure::Retry { .. }), passes, "{begins} {answer}: {failure:?}");
        assert!(failure.message().contains(&answer[..3]), "{failure}");
    }
    let played = play(PLAIN, &firing(), Server { greeting: "421 closing", ..Server::default() });
    assert!(matches!(played.result, Err(Failure::Retry { .. })));
    let played = play(PLAIN, &firing(), Server { greeting: "HTTP/1.1 400", ..Server::default() });
    assert!(matches!(played.result, Err(Failure::Retry { message, .. }) if message.contains("does not speak")));
}

#[test]
fn a_wrong_password_is_final() {
    let server = Server {
        extensions: "250-STARTTLS\r\n250-AUTH PLAIN\r\n",
        answers: vec![("AUTH", "535 wrong")],
        ..Server::default()
    };
    let played = play(TLS, &firing(), server);
    assert_eq!(played.result, Err(Failure::rejected("the mail server answered 535 to the login of `user`: wrong")));
}

#[test]
fn one_recipient_that_is_refused_costs_the_others_nothing() {
    let json = PLAIN.replace(
        r#"["ops@example.com"]"#,
        r#"["a@example.com","b@example.com"],"cc":["a@example.com"],"bcc":["c@example.com"]"#,
    );
    let server = Server { answers: vec![("RCPT TO:<b@", "550 gone")], ..Server::default() };
    let played = play(&json, &firing(), server);
    let Ok(Outcome::Done(receipt)) = played.result else { panic!("{:?}", played.result) };
    assert_eq!((&receipt["recipients"], &receipt["refused"]), (&json!(2), &json!(["b@example.com: 550 gone"])));
    let server = played.server.0.borrow();
    assert_eq!(header(&server.mail, "Cc"), "<a@example.com>");
    assert!(!server.mail.contains("c@example.com"), "a blind copy is shown to nobody");
    assert!(played.kv.is_empty(), "nothing is kept for those who are refused for good");
}

/// Three recipients, of which `b` is told to come back.
fn three() -> String {
    PLAIN.replace(r#"["ops@example.com"]"#, r#"["a@example.com","b@example.com","c@example.com"]"#)
}

fn busy(answers: Vec<(&'static str, &'static str)>) -> Server {
    Server { answers, ..Server::default() }
}

fn poll(kv: BTreeMap<String, Vec<u8>>, server: Server) -> Played {
    play_on(&three(), server, kv, |config| Smtp::poll(config, "eff_1"))
}

#[test]
fn one_recipient_that_is_told_to_wait_gets_the_mail_later_and_nobody_else_gets_it_twice() {
    let played = play(&three(), &firing(), busy(vec![("RCPT TO:<b@", "450 come back"), ("RCPT TO:<c@", "550 gone")]));
    assert_eq!(played.result, Ok(Outcome::pending("eff_1", 30_000)));
    let first = played.server.0.borrow().mail.clone();
    assert!(!first.is_empty(), "the others do not wait");
    let played = poll(played.kv, busy(vec![("RCPT", "451 not yet")]));
    assert_eq!(played.result, Ok(Outcome::pending("eff_1", 60_000)));
    // A server that is not there for a while is one that may take it later.
    let played = poll(played.kv, Server { greeting: "421 closing", ..Server::default() });
    assert_eq!(played.result, Ok(Outcome::pending("eff_1", 120_000)));
    let played = poll(played.kv, Server::default());
    let Ok(Outcome::Done(receipt)) = played.result else { panic!("{:?}", played.result) };
    assert_eq!((&receipt["recipients"], &receipt["refused"]), (&json!(2), &json!(["c@example.com: 550 gone"])));
    assert_eq!((&receipt["message_id"], &receipt["answer"]), (&json!("eff_1@example.com"), &json!("queued as 7")));
    let server = played.server.0.borrow();
    let told: Vec<&String> = server.said.iter().filter(|line| line.starts_with("RCPT")).collect();
    assert_eq!(told, ["RCPT TO:<b@example.com>"]);
    assert_eq!(server.mail, first, "it is the same mail");
    assert!(played.kv.is_empty(), "{:?}", played.kv.keys());
}

#[test]
fn a_recipient_that_is_told_to_wait_for_too_long_is_refused_with_the_last_words() {
    let mut played = play(&three(), &firing(), busy(vec![("RCPT TO:<b@", "450 come back")]));
    for after in [60_000, 120_000, 300_000] {
        played = poll(played.kv, busy(vec![("RCPT", "452 full")]));
        assert_eq!(played.result, Ok(Outcome::pending("eff_1", after)));
    }
    played = poll(played.kv, busy(vec![("RCPT", "452 full")]));
    let Ok(Outcome::Done(receipt)) = played.result else { panic!("{:?}", played.result) };
    assert_eq!(receipt["recipients"], json!(2));
    assert!(receipt["refused"][0].as_str().unwrap().starts_with("b@example.com: "), "{receipt:?}");
    assert!(receipt["refused"][0].as_str().unwrap().contains("452 full"), "{receipt:?}");
    assert!(played.kv.is_empty());
}

#[test]
fn a_recipient_that_is_refused_in_the_end_is_reported() {
    let played = play(&three(), &firing(), busy(vec![("RCPT TO:<b@", "450 come back")]));
    let played = poll(played.kv, busy(vec![("RCPT", "550 no such user")]));
    let Ok(Outcome::Done(receipt)) = played.result else { panic!("{:?}", played.result) };
    assert!(receipt["refused"][0].as_str().unwrap().contains("550 no such user"), "{receipt:?}");
    assert!(played.kv.is_empty());
}

#[test]
fn a_mail_that_is_too_large_to_be_kept_is_reported_for_those_who_wait() {
    let long = "x".repeat(250 << 10);
    let json = three().replace(r#""to":"#, &format!(r#""text":"{long}","html":"{long}","to":"#));
    let played = play(&json, &firing(), busy(vec![("RCPT TO:<b@", "450 come back")]));
    let Ok(Outcome::Done(receipt)) = played.result else { panic!("{:?}", played.result) };
    assert_eq!((&receipt["recipients"], &receipt["refused"]), (&json!(2), &json!(["b@example.com: 450 come back"])));
    assert!(receipt["not_tried_again"].as_str().unwrap().contains("262144 bytes"), "{receipt:?}");
    assert!(played.kv.is_empty());
}

#[test]
fn what_was_kept_and_never_asked_for_again_makes_room() {
    let kv = BTreeMap::from([
        ("deferred".to_owned(), br#"{"eff_0":1000}"#.to_vec()),
        ("eff_0".to_owned(), b"an old mail".to_vec()),
    ]);
    let server = busy(vec![("RCPT TO:<b@", "450 come back")]);
    let played = play_on(&three(), server, kv, |config| Smtp::notify(config, &firing(), "eff_1"));
    assert_eq!(played.kv.keys().collect::<Vec<_>>(), ["deferred", "eff_1"]);
    assert_eq!(poll(played.kv, Server::default()).kv.len(), 0);
}

#[test]
fn letters_beyond_ascii_and_line_breaks_stay_where_they_belong() {
    let message = Message { title: "Größe\r\nBcc: x@y".into(), body: "Füllstand 97 %\n.\nende".into(), ..firing() };
    let played = play(PLAIN, &message, Server::default());
    let server = played.server.0.borrow();
    let head = server.mail.split("\n\n").next().unwrap();
    assert!(head.is_ascii() && !head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    assert!(header(&server.mail, "Subject").starts_with("=?utf-8?"), "{head}");
    assert!(server.mail.lines().all(|line| line.len() <= 998));
}

#[test]
fn templates_write_subject_text_and_html() {
    let json = PLAIN.replace(
        r#""to":"#,
        r#""subject":"{{ status|upper }} {{ group_labels.alertname }}","text":"{{ firing|length }} fire","html":"<p>{{ '<' }}</p>","to":"#,
    );
    let played = play(&json, &group("alerts.firing"), Server::default());
    let server = played.server.0.borrow();
    assert_eq!(header(&server.mail, "Subject"), "FIRING DiskFull");
    assert!(server.mail.contains("1 fire") && server.mail.contains("<p>&lt;</p>"), "{}", server.mail);
}

#[test]
fn a_template_that_fails_leaves_the_plain_text() {
    let json = PLAIN.replace(r#""to":"#, r#""html":"{{ title|duration }}","to":"#);
    let played = play(&json, &firing(), Server::default());
    let Ok(Outcome::Done(receipt)) = played.result else { panic!("{:?}", played.result) };
    assert!(receipt["template_error"].as_str().unwrap().contains("`html`"));
    assert!(!played.server.0.borrow().mail.contains("text/html"));
}

#[test]
fn the_words_for_groups_render() {
    let played = play(PLAIN, &group("alerts.firing"), Server::default());
    let Ok(Outcome::Done(receipt)) = played.result else { panic!("{:?}", played.result) };
    assert_eq!(receipt.get("template_error"), None);
    assert!(played.server.0.borrow().mail.contains("the disk of a is full"));
}

#[test]
fn a_denied_connection_is_final() {
    let config: Config = json::from_str(PLAIN).unwrap();
    let host = FakeHost { tcp: Some(Box::new(|_| Err(Error::Denied("no".into())))), ..FakeHost::default() };
    assert_eq!(host.run(|| Smtp::notify(&config, &firing(), "eff_1")).0, Err(Failure::rejected("no")));
}

#[test]
fn a_configuration_is_checked() {
    let pointers = |json: &str| {
        let config: Config = serde_json::from_str(json).unwrap();
        Smtp::validate(&config).into_iter().map(|problem| problem.pointer).collect::<Vec<_>>()
    };
    assert!(pointers(TLS).is_empty());
    assert_eq!(pointers(r#"{"server":"m","from":"a@b","to":[]}"#), ["/to"]);
    assert_eq!(
        pointers(r#"{"server":"m","from":"x","to":["a@b","c"],"reply-to":"d"}"#),
        ["/to/1", "/from", "/reply-to"]
    );
    assert_eq!(pointers(r#"{"server":"m","from":"a@b","to":["a@b"],"user":"u"}"#), ["/password-secret"]);
    let clear = r#"{"server":"mail","security":"none","from":"a@b","to":["a@b"],"user":"u","password-secret":"p"}"#;
    assert_eq!(pointers(clear), ["/security"]);
}
