//! Our cases, in the same format: each says what it is about.

use crate::judge::{Verdict, run};
use std::path::Path;

#[test]
fn every_case_of_our_own_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut failures = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        for case in run(&std::fs::read_to_string(entry.path()).unwrap()) {
            cases += 1;
            match case.verdict {
                Verdict::Passed => {}
                Verdict::LeftOut(reason) | Verdict::Failed(reason) => {
                    failures.push(format!("{name}:{} {}\n    {reason}", case.line, case.query));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(cases > 100, "{cases}");
}
