use super::*;
use quarterdeck_model::plugin::{InstanceSpec, ProgramGrant};
use quarterdeck_model::process::ProcessSpec;
use std::net::SocketAddr;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn http(grants: &[&str], url: &str, ip: &str) -> Verdict {
    http_allowed(&strings(grants), &Url::parse(url).unwrap(), &Method::GET, ip.parse().unwrap(), false)
}

#[test]
fn origins_are_granted_by_scheme_host_and_port() {
    let public = "93.184.215.14";
    for (grant, url) in [
        ("https://api.example.com", "https://api.example.com/v1?x=1"),
        ("https://api.example.com", "https://API.Example.com:443/"),
        ("https://api.example.com/", "https://api.example.com./"),
        ("https://*.example.com", "https://a.b.example.com/"),
        ("http://example.com:*", "http://example.com:8080/"),
        ("https://*", "https://example.org/"),
        ("*", "http://example.org:81/"),
        ("https://bücher.example", "https://xn--bcher-kva.example/"),
    ] {
        assert_eq!(http(&[grant], url, public), Ok(()), "{grant} {url}");
    }
    for (grant, url) in [
        ("https://api.example.com", "http://api.example.com/"),
        ("https://api.example.com", "https://api.example.com:8443/"),
        ("https://api.example.com", "https://api.example.com.evil.org/"),
        ("https://api.example.com", "https://evil.org/api.example.com"),
        ("https://*.example.com", "https://example.com/"),
        ("https://*.example.com", "https://evilexample.com/"),
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("https://user@example.com", "https://example.com/"),
        ("https://a*.example.com", "https://ab.example.com/"),
        ("api.example.com", "https://api.example.com/"),
        ("", "https://api.example.com/"),
        ("ftp://example.com", "ftp://example.com/"),
        ("*", "ftp://example.com/"),
    ] {
        assert!(http(&[grant], url, public).is_err(), "{grant} {url}");
    }
    assert!(
        http(&[], "https://example.com/", public)
            .unwrap_err()
            .contains("hint: grants.http = [\"https://example.com\"]")
    );
}

#[test]
fn what_is_not_public_has_to_be_granted_by_name() {
    for ip in [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "0.1.2.3",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
    ] {
        assert!(http(&["*"], "http://rebound.example/", ip).is_err(), "{ip}");
        assert!(http(&["http://*.example"], "http://rebound.example/", ip).is_err(), "{ip}");
    }
    for ip in
        ["1.1.1.1", "100.128.0.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
    {
        assert_eq!(http(&["*"], "http://fine.example/", ip), Ok(()), "{ip}");
    }
}

#[test]
fn a_literal_grant_opens_just_what_it_names() {
    assert_eq!(http(&["http://127.0.0.1:8080"], "http://127.0.0.1:8080/", "127.0.0.1"), Ok(()));
    assert_eq!(http(&["http://127.0.0.1:8080"], "http://0x7f.1:8080/", "127.0.0.1"), Ok(()));
    assert_eq!(http(&["http://[::1]:8080"], "http://[::1]:8080/", "::1"), Ok(()));
    assert_eq!(http(&["http://localhost:8080"], "http://localhost:8080/", "127.0.0.1"), Ok(()));
    assert_eq!(http(&["http://db.internal"], "http://db.internal/", "10.1.2.3"), Ok(()));
    assert_eq!(http(&["http://169.254.169.254"], "http://169.254.169.254/", "169.254.169.254"), Ok(()));
    assert!(http(&["http://127.0.0.1:8080"], "http://127.0.0.1:8081/", "127.0.0.1").is_err());
    assert!(http(&["http://127.0.0.1:8080"], "http://localhost:8080/", "127.0.0.1").is_err());
    // Whoever answers for a granted name can't point it at the machine itself, or at the cloud's metadata.
    assert!(http(&["http://db.internal"], "http://db.internal/", "127.0.0.1").is_err());
    assert!(http(&["http://db.internal"], "http://db.internal/", "169.254.169.254").is_err());
    assert!(http(&["http://localhost"], "http://localhost/", "169.254.169.254").is_err());
}

#[test]
fn of_the_host_itself_only_the_health_pages_are_reached_and_only_when_granted() {
    let ask = |grants: &[&str], method: Method, path: &str| {
        let url = Url::parse(&format!("http://127.0.0.1:7700{path}")).unwrap();
        http_allowed(&strings(grants), &url, &method, "127.0.0.1".parse().unwrap(), true)
    };
    let granted = ["http://127.0.0.1:7700"];
    for path in ["/healthz", "/readyz", "/metrics", "/", "/healthz?x=1", "/x/../healthz"] {
        assert_eq!(ask(&granted, Method::GET, path), Ok(()), "{path}");
        assert!(ask(&["*"], Method::GET, path).is_err(), "{path}");
    }
    for path in ["/api/v1/plugins", "/healthz/", "/healthz/../api/v1/plugins", "//", "/%68ealthz"] {
        assert!(ask(&granted, Method::GET, path).is_err(), "{path}");
    }
    assert!(ask(&granted, Method::POST, "/healthz").is_err());
}

#[test]
fn the_hosts_own_listener_is_recognised_however_it_is_addressed() {
    let own = |listener: &str, ip: &str, port: u16| {
        is_own(Some(listener.parse::<SocketAddr>().unwrap()), ip.parse().unwrap(), port)
    };
    assert!(own("127.0.0.1:7700", "127.0.0.1", 7700));
    assert!(own("127.0.0.1:7700", "::ffff:127.0.0.1", 7700));
    assert!(own("127.0.0.1:7700", "0.0.0.0", 7700));
    assert!(own("0.0.0.0:7700", "127.0.0.9", 7700));
    assert!(own("[::]:7700", "127.0.0.1", 7700));
    assert!(!own("127.0.0.1:7700", "127.0.0.1", 7701));
    assert!(!own("127.0.0.1:7700", "1.1.1.1", 7700));
    assert!(!own("0.0.0.0:7700", "203.0.113.7", 7700));
    assert!(!is_own(None, "127.0.0.1".parse().unwrap(), 7700));
}

#[test]
fn secrets_do_not_go_where_everybody_is_granted() {
    let may = |grants: &[&str]| secret_may_go_to(&strings(grants), &Url::parse("https://api.example.com/").unwrap());
    assert!(may(&["https://api.example.com"]));
    assert!(may(&["https://*.example.com"]));
    assert!(!may(&["*"]));
    assert!(!may(&["https://*"]));
    assert!(!may(&["https://other.example.com"]));
    assert!(may(&["*", "https://api.example.com"]));
}

#[test]
fn tcp_is_granted_by_host_and_port() {
    let ask = |grants: &[&str], host: &str, port, ip: &str| {
        tcp_allowed(&strings(grants), host, port, ip.parse().unwrap(), false)
    };
    assert_eq!(ask(&["db.example:5432"], "db.example", 5432, "10.0.0.1"), Ok(()));
    assert_eq!(ask(&["db.example:*"], "DB.example.", 1, "1.1.1.1"), Ok(()));
    assert_eq!(ask(&["127.0.0.1:80"], "127.0.0.1", 80, "127.0.0.1"), Ok(()));
    assert_eq!(ask(&["[::1]:80"], "::1", 80, "::1"), Ok(()));
    assert_eq!(ask(&["*:443"], "example.org", 443, "1.1.1.1"), Ok(()));
    assert!(ask(&["*:443"], "example.org", 443, "10.0.0.1").is_err());
    assert!(ask(&["db.example:5432"], "db.example", 5433, "10.0.0.1").is_err());
    assert!(ask(&["db.example"], "db.example", 80, "1.1.1.1").is_err());
    assert!(ask(&["db.example:5432"], "db.example", 5432, "127.0.0.1").is_err());
    assert!(tcp_allowed(&strings(&["127.0.0.1:7700"]), "127.0.0.1", 7700, "127.0.0.1".parse().unwrap(), true).is_err());
    assert_eq!(unix_allowed(&strings(&["unix:/run/x.sock"]), "/run/x.sock"), Ok(()));
    assert!(unix_allowed(&strings(&["unix:/run/x.sock"]), "/run/y/../x.sock").is_err());
    assert!(unix_allowed(&strings(&["unix:/run/x.sock"]), "/run/y.sock").is_err());
}

#[test]
fn a_certificate_may_be_read_where_a_connection_or_the_origin_is_granted() {
    let ask = |tcp: &[&str], http: &[&str], host: &str, port| {
        certificate_allowed(&strings(tcp), &strings(http), host, port, None)
    };
    assert_eq!(ask(&["example.org:443"], &[], "example.org", 443), Ok(()));
    assert_eq!(ask(&[], &["https://example.org"], "example.org", 443), Ok(()));
    assert_eq!(ask(&[], &["https://[::1]:8443"], "::1", 8443), Ok(()));
    assert!(ask(&[], &["http://example.org"], "example.org", 443).is_err());
    assert!(ask(&[], &["https://example.org"], "example.org", 8443).is_err());
    let loopback = Some("127.0.0.1".parse().unwrap());
    assert!(certificate_allowed(&[], &strings(&["*"]), "example.org", 443, loopback).is_err());
}

fn granted(patterns: &[&str], environment: &[&str]) -> ProgramGrant {
    ProgramGrant { program: "/bin/df".to_owned(), arguments: strings(patterns), environment: strings(environment) }
}

fn program(patterns: &[&str], arguments: &[&str]) -> bool {
    program_allowed(&[granted(patterns, &[])], "/bin/df", &strings(arguments), &[], "exec").is_ok()
}

#[test]
fn arguments_match_one_by_one() {
    assert!(program(&[], &[]));
    assert!(!program(&[], &["-h"]));
    assert!(program(&["-h", "/*"], &["-h", "/var/log"]));
    assert!(!program(&["-h", "/*"], &["-h"]));
    assert!(!program(&["-h", "/*"], &["-h", "/var", "/etc"]));
    assert!(!program(&["-h", "/*"], &["/var", "-h"]));
    assert!(program(&["..."], &[]));
    assert!(program(&["-h", "..."], &["-h", "a", "b"]));
    assert!(!program(&["-h", "..."], &["-x", "a"]));
    assert!(program(&["{start,stop}"], &["stop"]));
    assert!(!program(&["{start,stop}"], &["restart"]));
    assert!(program(&["..", "..."], &[".."]));
    // What a pattern keeps below a folder does not climb out of it; a text that is free is free.
    assert!(program(&["/srv/releases/*"], &["/srv/releases/v1/bin"]));
    assert!(!program(&["/srv/releases/*"], &["/srv/releases/../../etc"]));
    assert!(!program(&["--release=/srv/*"], &["--release=/srv/v1/.."]));
    assert!(program(&["/srv/releases/*"], &["/srv/releases/v1..2"]));
    assert!(program(&["/srv/../*"], &["/srv/../opt"]));
    assert!(program(&["-c", "*"], &["-c", "ls ../../x"]));
    assert!(!program(&["["], &["["]));
    assert!(!program(&["-h"], &["-h\n"]));
}

#[test]
fn only_the_granted_program_runs() {
    let grant = granted(&["..."], &[]);
    for other in ["df", "/bin/../bin/df", "/bin/./df", "/bin/dfx", "/usr/bin/df", ""] {
        assert!(program_allowed(std::slice::from_ref(&grant), other, &[], &[], "exec").is_err(), "{other}");
    }
    assert!(program_allowed(&[], "/bin/df", &[], &[], "process").unwrap_err().contains("grants.process"));
}

/// What is said of `/bin/df` with these arguments and variables.
fn with_variables(grants: &[ProgramGrant], arguments: &[&str], names: &[&str], capability: &str) -> Verdict {
    let environment: Vec<_> = names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect();
    program_allowed(grants, "/bin/df", &strings(arguments), &environment, capability)
}

#[test]
fn a_variable_is_set_only_where_the_grant_of_the_program_names_it() {
    for capability in ["exec", "process"] {
        let ask = |granted: &ProgramGrant, names: &[&str]| {
            with_variables(std::slice::from_ref(granted), &["-h"], names, capability)
        };
        let fixed = granted(&["-h"], &[]);
        assert_eq!(ask(&fixed, &[]), Ok(()));
        for name in ["TAR_OPTIONS", "HOME", "OPENSSL_CONF", "KUBECONFIG", "XDG_CONFIG_HOME", "LANG", "x"] {
            assert!(ask(&fixed, &[name]).is_err(), "{name}");
        }
        let some = granted(&["-h"], &["LANG", "SHOP"]);
        assert_eq!(ask(&some, &["LANG"]), Ok(()));
        assert_eq!(ask(&some, &["SHOP", "LANG", "SHOP"]), Ok(()));
        assert!(ask(&some, &["lang"]).is_err(), "names differ by case");
        let denied = ask(&some, &["LANG", "HOME", "TZ"]).unwrap_err();
        assert!(denied.starts_with("`/bin/df` is not granted with the variables `HOME`, `TZ`; hint: add "), "{denied}");
        assert!(
            denied.contains(&format!("[\"HOME\", \"TZ\"] to `environment` of its grant in grants.{capability}")),
            "{denied}"
        );
    }
}

#[test]
fn arguments_and_variables_are_allowed_by_one_and_the_same_grant() {
    let grants = [granted(&["-h"], &["LANG"]), granted(&["..."], &["TZ"])];
    let ask = |arguments: &[&str], names: &[&str]| with_variables(&grants, arguments, names, "exec");
    assert_eq!(ask(&["-h"], &["LANG"]), Ok(()));
    assert_eq!(ask(&["-h"], &["TZ"]), Ok(()));
    assert_eq!(ask(&["-x"], &["TZ"]), Ok(()));
    assert!(ask(&["-x"], &["LANG"]).unwrap_err().contains("`LANG`"));
    assert!(ask(&["-h"], &["LANG", "TZ"]).is_err(), "no grant names both");
}

#[test]
fn what_a_process_is_called_by_its_deployment_needs_no_grant() {
    let grants = [granted(&["-h"], &[])];
    assert_eq!(with_variables(&grants, &["-h"], &["REPLICA"], "process"), Ok(()));
    assert!(with_variables(&grants, &["-h"], &["REPLICA"], "exec").is_err());
}

#[test]
fn variables_that_load_code_are_refused_whatever_is_granted() {
    for name in ["LD_PRELOAD", "ld_preload", "PATH", "TAR_OPTIONS", "GIT_SSH_COMMAND", "a=b", "", "QUARTERDECK_PROCESS"]
    {
        let denied = with_variables(&[granted(&["-h"], &[name])], &["-h"], &[name], "exec").unwrap_err();
        assert!(!denied.contains("hint"), "no grant allows it: {denied}");
    }
}

#[test]
fn a_process_that_runs_is_not_ended_for_variables_that_its_grant_does_not_name() {
    let grants = serde_json::json!([{"program": "/bin/df", "arguments": ["-h"]}]);
    let instance: InstanceSpec =
        serde_json::from_value(serde_json::json!({"plugin": "x", "grants": {"process": grants}})).unwrap();
    let process = |argument: &str| ProcessSpec {
        name: "web".to_owned(),
        program: "/bin/df".to_owned(),
        arguments: strings(&[argument]),
        environment: vec![("SHOP".to_owned(), "x".to_owned())],
        health_url: None,
    };
    assert!(process_allowed(&instance, &process("-h")));
    assert!(!process_allowed(&instance, &process("-x")));
}

#[test]
fn events_are_granted_by_prefix_and_never_under_the_hosts_own_topics() {
    let ask = |prefixes: &[&str], event: &str| event_allowed(&strings(prefixes), event);
    assert_eq!(ask(&["custom."], "custom.happened"), Ok(()));
    assert_eq!(ask(&["custom"], "custom.a.b"), Ok(()));
    assert_eq!(ask(&["custom.happened"], "custom.happened"), Ok(()));
    for (prefix, event) in [
        ("custom.", "customs.happened"),
        ("custom", "customs.happened"),
        ("", "custom.happened"),
        (".", "custom.happened"),
        ("custom.", "custom"),
        ("custom.", "custom."),
        ("custom.", "custom.Happened"),
        ("custom.", "custom.a\nb"),
        ("audit.", "audit.http"),
        ("effect.", "effect.done"),
    ] {
        assert!(ask(&[prefix], event).is_err(), "{prefix} {event}");
    }
}

#[test]
fn kinds_that_decide_have_a_log_and_nothing_else() {
    for capability in Capability::ALL {
        assert_eq!(capability_allowed(capability, true).is_ok(), capability == Capability::Log);
        assert_eq!(capability_allowed(capability, false), Ok(()));
    }
}

#[test]
fn a_health_url_is_local_or_granted() {
    assert_eq!(health_url_allowed(&[], "http://127.0.0.1:8080/ready"), Ok(()));
    assert_eq!(health_url_allowed(&[], "http://localhost:8080/ready"), Ok(()));
    assert_eq!(health_url_allowed(&strings(&["http://web.internal"]), "http://web.internal/"), Ok(()));
    assert!(health_url_allowed(&[], "http://169.254.169.254/").is_err());
}
