//! The way back from a change of one object: to what it was before, if nobody else has changed it since.

use super::edit::JSON;
use super::objects::at;
use crate::configuration::{Object, Said};
use crate::console::session::Undo;

/// Bytes of an object that are kept for it.
const LARGEST: usize = 64 << 10;

/// From the object as it is `now` to what it was `before`. `None` where that is no single change, or is too large to be kept.
pub(in crate::console::pages) fn of(
    section: &str,
    name: &str,
    before: Option<&Object>,
    now: Option<&Object>,
) -> Option<Undo> {
    let base = at(section, name);
    let seen = now.map(|now| ("seen", now.tag()));
    let value = before.and_then(|before| before.value.as_ref());
    match (value, before.and_then(|before| before.api), seen) {
        // There was none, or the files alone said it.
        (None, None | Some(Said::Deleted), Some(seen)) => {
            Some(Undo { to: format!("{base}/delete"), fields: vec![seen] })
        }
        (Some(_), None, Some(seen)) => Some(Undo { to: format!("{base}/reset"), fields: vec![seen] }),
        (Some(value), Some(Said::Set), seen) => {
            let text = serde_json::to_string_pretty(value).ok().filter(|text| text.len() <= LARGEST)?;
            let what = [("format", JSON.to_owned()), ("text", text)];
            Some(match seen {
                Some(seen) => Undo { to: base, fields: what.into_iter().chain([seen]).collect() },
                None => {
                    let named = [("section", section.to_owned()), ("name", name.to_owned())];
                    Undo { to: super::edit::NEW.to_owned(), fields: named.into_iter().chain(what).collect() }
                }
            })
        }
        _ => None,
    }
}

/// The same, and on to this page.
pub(in crate::console::pages) fn back_to(mut undo: Undo, page: &str) -> Undo {
    undo.fields.push(("back", page.to_owned()));
    undo
}
