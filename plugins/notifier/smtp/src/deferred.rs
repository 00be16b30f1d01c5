//! Recipients whom the server may take later (4yz), where it took others: the mail is kept, and goes to them alone.
//!
//! Another attempt at the whole delivery would tell the others twice, so the delivery stays pending instead, and is asked after until
//! everybody was taken or refused. What comes next about the same thing waits for it, so that is not for long.

use crate::Config;
use crate::session::{Deferred, Sent, Session};
use quarterdeck_sdk::host::kv;
use quarterdeck_sdk::serde::{Deserialize, Serialize};
use quarterdeck_sdk::serde_json::{self, Map, Value};
use quarterdeck_sdk::{Failure, Outcome};
use std::collections::BTreeMap;

/// When to try again. A server that wants to see a mail twice before it takes it wants to wait for five minutes at most.
const AGAIN_MS: [u64; 4] = [30_000, 60_000, 120_000, 300_000];
/// What the host takes as one value.
const LARGEST: usize = 256 << 10;
/// Key of the list of mails that are kept: since when, by key.
const LIST: &str = "deferred";
/// The host gives a delivery up after an hour: a mail that is still there was taken back.
const FORGOTTEN_MS: i64 = 2 * 3_600_000;

/// What is known of a mail that not everybody has.
#[derive(Serialize, Deserialize)]
#[serde(crate = "quarterdeck_sdk::serde")]
struct Letter {
    from: String,
    /// Addresses that are still to be tried.
    waiting: Vec<String>,
    refused: Vec<String>,
    accepted: usize,
    attempts: usize,
    /// What is to be said in the end, but for the recipients.
    receipt: Map<String, Value>,
}

/// Says what came of a mail, or leaves it pending where somebody may be taken later.
pub(crate) fn settle(from: String, mail: &[u8], key: &str, receipt: Outcome, sent: Sent, now_ms: i64) -> Outcome {
    let Outcome::Done(receipt) = receipt else { return receipt };
    let Sent { accepted, refused, deferred, .. } = sent;
    let (waiting, words): (Vec<_>, Vec<_>) =
        deferred.into_iter().map(|Deferred { recipient, words }| (recipient, words)).unzip();
    let mut letter = Letter { from, waiting, refused, accepted, attempts: 0, receipt };
    if letter.waiting.is_empty() {
        return letter.end();
    }
    match letter.keep(key, mail, now_ms) {
        Ok(()) => letter.pending(key),
        // The others have it: what is left to do is to say who has not.
        Err(why) => {
            letter.refused.extend(words);
            letter.receipt.insert("not_tried_again".to_owned(), Value::from(why));
            letter.end()
        }
    }
}

/// Tries those again who are waiting.
pub(crate) fn again(config: &Config, key: &str, now_ms: i64) -> Result<Outcome, Failure> {
    let kept = kv::get(key)?;
    let Some((mut letter, mail)) = kept.as_deref().and_then(read) else {
        return Err(Failure::other("the mail was not kept for those whom the server did not take"));
    };
    let sent = Session::open(config).and_then(|mut session| {
        let sent = session.send(&letter.from, &letter.waiting, mail)?;
        session.quit();
        Ok(sent)
    });
    letter.attempts += 1;
    let words = match sent {
        Ok(Sent { accepted, refused, deferred, .. }) => {
            letter.accepted += accepted;
            letter.refused.extend(refused);
            let (waiting, words) = deferred.into_iter().map(|Deferred { recipient, words }| (recipient, words)).unzip();
            letter.waiting = waiting;
            words
        }
        Err(failure @ Failure::Retry { .. }) => letter.waiting.iter().map(|to| format!("{to}: {failure}")).collect(),
        Err(failure) => {
            let waiting = std::mem::take(&mut letter.waiting);
            letter.refused.extend(waiting.iter().map(|to| format!("{to}: {failure}")));
            Vec::new()
        }
    };
    if !letter.waiting.is_empty() && letter.attempts < AGAIN_MS.len() && letter.keep(key, mail, now_ms).is_ok() {
        return Ok(letter.pending(key));
    }
    letter.refused.extend(words);
    forget(key)?;
    Ok(letter.end())
}

impl Letter {
    fn pending(&self, key: &str) -> Outcome {
        Outcome::pending(key, AGAIN_MS.get(self.attempts).copied().unwrap_or_default())
    }

    fn end(mut self) -> Outcome {
        self.receipt.insert("recipients".to_owned(), Value::from(self.accepted));
        if !self.refused.is_empty() {
            self.receipt.insert("refused".to_owned(), Value::from(self.refused));
        }
        Outcome::Done(self.receipt)
    }

    /// A line of JSON, and the mail behind it.
    fn keep(&self, key: &str, mail: &[u8], now_ms: i64) -> Result<(), String> {
        let mut value = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        value.push(b'\n');
        value.extend_from_slice(mail);
        if value.len() > LARGEST {
            return Err(format!("the mail has more than {LARGEST} bytes"));
        }
        let mut list = list();
        list.retain(|other, since| {
            let is_over = since.saturating_add(FORGOTTEN_MS) < now_ms;
            // What can't be removed now is removed next time.
            !(is_over && kv::delete(other).is_ok())
        });
        list.entry(key.to_owned()).or_insert(now_ms);
        kv::set(key, &value).map_err(|error| error.to_string())?;
        write(&list).map_err(|error| error.to_string())
    }
}

fn read(value: &[u8]) -> Option<(Letter, &[u8])> {
    let end = value.iter().position(|byte| *byte == b'\n')?;
    let (line, mail) = value.split_at_checked(end)?;
    Some((serde_json::from_slice(line).ok()?, mail.get(1..)?))
}

fn forget(key: &str) -> Result<(), Failure> {
    let mut list = list();
    list.remove(key);
    kv::delete(key)?;
    Ok(write(&list)?)
}

fn list() -> BTreeMap<String, i64> {
    let kept = kv::get(LIST).ok().flatten();
    kept.and_then(|list| serde_json::from_slice(&list).ok()).unwrap_or_default()
}

fn write(list: &BTreeMap<String, i64>) -> Result<(), quarterdeck_sdk::host::Error> {
    if list.is_empty() {
        return kv::delete(LIST);
    }
    kv::set(LIST, serde_json::to_string(list).unwrap_or_default().as_bytes())
}
