//! Pages that are asked for in odd ways: whatever stands in the address, the answer is a page that says what is wrong with it, or one
//! that shows what there is.

use crate::console::{check, send, sign_in};
use crate::support::request;
use crate::world::world;
use axum::body::Body;
use http::Method;
use http::header::COOKIE;

const PAGES: [&str; 33] = [
    "",
    "/alerts",
    "/alerts/one",
    "/alerts/groups",
    "/silences",
    "/silences/new",
    "/rules",
    "/incidents",
    "/incidents/one",
    "/metrics",
    "/metrics/words",
    "/dashboards",
    "/slos",
    "/findings",
    "/events",
    "/events/1",
    "/runbooks",
    "/runbooks/health",
    "/runs",
    "/services",
    "/services/shop",
    "/deployments",
    "/deployments/one",
    "/scans",
    "/jobs",
    "/outbox",
    "/dead-letters",
    "/plugins",
    "/instances",
    "/processes",
    "/configuration/objects",
    "/search",
    "/sign-in",
];

#[tokio::test]
async fn whatever_stands_in_an_address_the_answer_is_a_page() {
    let deck = world().await;
    let (cookie, _) = sign_in(&deck).await;
    let long = format!("q={0}&text={0}&name={0}&subject={0}&target={0}&matchers={0}", "x".repeat(9_000));
    let odd = [
        "cursor=%00&state=%00&kind=%00&service=%00&name=%00&q=%00&metric=%00&word=%00",
        "cursor=99999999999999999999999999&limit=0&limit=5&page=-1",
        "cursor=18446744073709551615&limit=1",
        "cursor=%FF%FE&state=%FF&q=%FF",
        "state=open&state=open&state=nothing&severity=critical&severity=low&severity=",
        "range=0s&step=0s&renew=0s&for=0s",
        "range=999999999999d&step=1s",
        "range=-5m",
        "from=0000-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
        "from=1970-01-01&to=2262-01-01&q=up",
        "from=9999-12-31T23:59:59Z",
        "to=0000-01-01T00:00:00Z",
        "from=x&to=y",
        "q=%3Cscript%3Ealert(1)%3C/script%3E&text=%3Cscript%3Ealert(1)%3C/script%3E&name=%3Cscript%3Ealert(1)%3C/script%3E&subject=%3Cscript%3Ealert(1)%3C/script%3E&code=%3Cscript%3Ealert(1)%3C/script%3E",
        "q=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E&state=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E&cause=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E",
        "q=sum(((((&q=up[1000000d]&q=up%5B5m%5D&step=1m",
        "matchers=%7B%7B%7B&for=x&starts=x&ends=x&id=none",
        "matchers=a%3D~%22(%22&comment=x&for=1h",
        "%",
        "=&&&=;",
        "a%5B%5D=1&__proto__=1&back=//evil.example",
        long.as_str(),
    ];
    for path in PAGES {
        for query in odd {
            let address = format!("/console{path}?{query}");
            let asked = request(Method::GET, &address).header(COOKIE, &cookie).body(Body::empty());
            let answer = send(&deck, asked.unwrap()).await;
            let shown = String::from_utf8(answer.body.clone()).unwrap();
            let status = answer.status.as_u16();
            let short: String = address.chars().take(200).collect();
            assert!(status == 200 || (400..500).contains(&status), "{short}: {status} {shown}");
            assert!(answer.header("content-type").starts_with("text/html"), "{short}");
            check(&short, &answer, &shown);
            assert!(!shown.contains("<script>alert") && !shown.contains("<img"), "{short}: {shown}");
            assert!(shown.contains("<h1"), "{short}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_form_leads_to_no_page_of_others() {
    let deck = world().await;
    let (cookie, csrf) = sign_in(&deck).await;
    for back in [
        "//evil.example",
        "https://evil.example",
        "/console\\\\evil.example",
        "/\\evil.example",
        "/consoleevil",
        "javascript:alert(1)",
        "/console\r\nX: y",
    ] {
        let fields = [("csrf", csrf.as_str()), ("back", back)];
        let done = crate::console::post(&deck, "/console/incidents/one/acknowledge", &cookie, &fields).await;
        if done.status == 303 {
            assert_eq!(done.header("location"), "/console/incidents/one", "{back}");
        } else {
            assert_eq!(done.status, 409, "{back}: it is acknowledged already");
        }
    }
}
