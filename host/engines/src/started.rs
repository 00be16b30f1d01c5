//! Which run an event starts: known to whoever knows the event, before there is a run and after.

use quarterdeck_model::Timestamp;
use quarterdeck_model::id::{EventId, RunId};
use sha2::{Digest, Sha256};

/// The event's moment, and a hash of what starts what: sorts like other runs, and is the same each time.
pub(crate) fn started_by(event: &EventId, at: Timestamp, slug: &str) -> RunId {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut hash = Sha256::new();
    hash.update(event.as_str().as_bytes());
    hash.update([0xff]);
    hash.update(slug.as_bytes());
    let digit = |byte: u64| ALPHABET.get(usize::try_from(byte % 32).unwrap_or(0)).copied().map_or('0', char::from);
    let mut millis = u64::try_from(at.as_millis()).unwrap_or(0);
    let mut time = [0; 10];
    for place in time.iter_mut().rev() {
        *place = millis % 32;
        millis /= 32;
    }
    let hashed = hash.finalize();
    let text: String = time.into_iter().chain(hashed.iter().take(16).map(|byte| u64::from(*byte))).map(digit).collect();
    RunId(format!("{}{text}", RunId::PREFIX))
}
