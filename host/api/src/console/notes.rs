//! What happened beside the values of a chart: deployments that began, and incidents.

use super::chart::{Note, NoteKind};
use crate::problem::Problem;
use quarterdeck_model::Timestamp;
use quarterdeck_model::domain::deployment::Deployment;
use quarterdeck_model::domain::incident::Incident;
use quarterdeck_model::store::{Page, Store};

/// Documents of a kind that are looked at, and notes of a chart: more can't be told apart.
const LOOK_AT: usize = 200;
const SHOWN: usize = 20;

/// Those within the time, the newest ones first; of deployments only those of the service, where one is named. Reads the store.
pub(crate) fn between(
    store: &dyn Store,
    from: Timestamp,
    to: Timestamp,
    service: Option<&str>,
) -> Result<Vec<Note>, Problem> {
    let mut notes = Vec::new();
    for document in store.list(Deployment::COLLECTION, &Page::newest(LOOK_AT))? {
        let deployment: Deployment = document.decode()?;
        if service.is_some_and(|service| deployment.service != service) {
            continue;
        }
        let text = format!("{} {}", short(&deployment.service), short(&deployment.candidate));
        notes.push(Note { at: deployment.started_at, text, kind: NoteKind::Deployment, id: deployment.id.to_string() });
    }
    for document in store.list(Incident::COLLECTION, &Page::newest(LOOK_AT))? {
        let incident: Incident = document.decode()?;
        notes.push(Note {
            at: incident.opened_at,
            text: short(&incident.title),
            kind: NoteKind::Incident,
            id: incident.id.to_string(),
        });
    }
    notes.retain(|note| (from..=to).contains(&note.at));
    notes.sort_by_key(|note| std::cmp::Reverse(note.at));
    notes.truncate(SHOWN);
    Ok(notes)
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}
