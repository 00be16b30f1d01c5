//! How good a page is, from 0 to 100: one figure to watch over time, beside the findings that it is made of. Pure.
//!
//! A page begins at 100, and each finding takes points off by its severity, whatever rule it is from. The points are set so that the
//! findings of `http-headers` weigh about as they do in Mozilla's HTTP Observatory (see "Tests and scoring" of its documentation): a
//! missing policy or missing transport security costs 20 to 25 there and is medium here, a session cookie in the clear or an answer
//! that every site may read costs 40 to 50 and is high, sniffing or a telling referrer costs 5 and is low. There are no bonuses:
//! 100 means that nothing was found. The grades' limits are the Observatory's.

use super::findings::Seen;
use quarterdeck_model::Severity;
use quarterdeck_model::domain::scan::PageScore;

/// Pages in a scan's document.
const MOST: usize = 1000;
const GRADES: [(u32, &str); 12] = [
    (100, "A+"),
    (90, "A"),
    (85, "A-"),
    (80, "B+"),
    (70, "B"),
    (65, "B-"),
    (60, "C+"),
    (50, "C"),
    (45, "C-"),
    (40, "D+"),
    (30, "D"),
    (25, "D-"),
];

const fn points(severity: Severity) -> u32 {
    match severity {
        Severity::Critical => 60,
        Severity::High => 40,
        Severity::Medium => 20,
        Severity::Low => 5,
        Severity::Info => 0,
    }
}

/// Scores of pages, worst first.
pub(super) fn scores(pages: &[String], seen: &[Seen]) -> Vec<PageScore> {
    let score = |url: &String| {
        let found = seen.iter().filter(|seen| seen.subject == *url);
        let lost = found.fold(0u32, |lost, seen| lost.saturating_add(points(seen.reported.severity)));
        let score = 100u32.saturating_sub(lost);
        PageScore { url: url.clone(), score, grade: grade(score).to_owned() }
    };
    let mut scores: Vec<_> = pages.iter().map(score).collect();
    scores.sort_by(|a, b| a.score.cmp(&b.score).then_with(|| a.url.cmp(&b.url)));
    scores.truncate(MOST);
    scores
}

fn grade(score: u32) -> &'static str {
    GRADES.iter().find(|(least, _)| score >= *least).map_or("F", |(_, grade)| grade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck_model::kind::scanner_rule::Reported;
    use quarterdeck_model::plugin::{Digest, PluginRef};

    fn seen(subject: &str, severity: Severity) -> Seen {
        let reported = Reported {
            subject: 0,
            rule: "http-headers/x".into(),
            title: String::new(),
            severity,
            message: String::new(),
            remediation: String::new(),
            line: 0,
            column: 0,
            cwe: None,
            fingerprint: String::new(),
        };
        let plugin = PluginRef { name: "h".into(), version: "1".into(), digest: Digest("d".into()) };
        Seen { instance: "h/d".into(), plugin, subject: subject.into(), root: None, reported }
    }

    #[test]
    fn a_page_loses_points_by_what_was_found_in_it_and_the_worst_comes_first() {
        use Severity::{Critical, High, Info, Low, Medium};
        let check = |found: &[Severity], score: u32, grade: &str| {
            let mut seen: Vec<_> = found.iter().map(|severity| seen("https://a.test/", *severity)).collect();
            seen.push(self::seen("https://b.test/", Critical));
            let scores = scores(&["https://a.test/".to_owned()], &seen);
            assert_eq!((scores[0].score, scores[0].grade.as_str()), (score, grade), "{found:?}");
        };
        check(&[], 100, "A+");
        check(&[Info, Info], 100, "A+");
        check(&[Low], 95, "A");
        check(&[Medium], 80, "B+");
        check(&[High, Low], 55, "C");
        check(&[Medium, Medium, Medium, Low, Low], 30, "D");
        check(&[Critical, High], 0, "F");
        check(&[Critical, Critical, Critical], 0, "F");
        let pages = ["https://a.test/".to_owned(), "https://b.test/".to_owned()];
        let scores = scores(&pages, &[seen("https://b.test/", Low)]);
        assert_eq!(
            scores.iter().map(|page| page.url.as_str()).collect::<Vec<_>>(),
            ["https://b.test/", "https://a.test/"]
        );
    }
}
