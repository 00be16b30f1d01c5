//! What to do with one effect now, and what an answer makes of it. The contract of `quarterdeck_model::effect`, as a state
//! machine over its [`Pending`] document.
//!
//! An effect that must not run twice has its attempt written down before it begins. Whoever finds such an attempt without an
//! answer - after a crash, or because the call was cut off - can't know whether it was done, and says so. So does a plugin that
//! answers `retry`: it knows that another attempt may do better, but not that this one did nothing (a request that timed out may
//! have been carried out). With `other` it says that the attempt has ended and failed, with `rejected` that there was none.

use quarterdeck_model::effect::{Action, DeliveryClass, Pending};
use quarterdeck_model::plugin::{CallError, Outcome};
use quarterdeck_model::{Span, Timestamp};
use serde_json::Value;

/// A poll that failed is tried again after this long: asking is harmless.
const POLL_AGAIN: Span = Span::from_secs(2);
/// A plugin that asks to be asked again at once is asked after this long.
const SHORTEST_POLL: Span = Span::from_millis(50);
/// There is nothing to call just now (a swap, a grant that is missing): the first wait, doubled up to the last.
const FIRST_ABSENCE: Span = Span::from_millis(250);
const LAST_ABSENCE: Span = Span::from_secs(15);

/// What is kept of a plugin's words: a document and an event have to hold them beside the effect.
const WORDS_BYTES: usize = 4 << 10;

/// How an effect ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    Done(Value),
    Failed(String),
    /// Begun, and it is not known whether it was done.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Nothing before this time.
    Wait(Timestamp),
    /// Make this durable, then call.
    WriteThenCall(Box<Pending>),
    /// Call; the attempt is written down only if it fails.
    Call(Box<Pending>),
    Poll(String),
    End(Ending),
}

/// What an answer leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub enum After {
    /// To be written: the attempt, when it goes on, and why.
    Keep(Box<Pending>),
    /// Nothing happened: to be looked at again at that time, nothing to be written.
    Later(Timestamp),
    End(Ending),
}

/// `pending` is what the store holds, and nobody works on it.
pub fn next(pending: &Pending, now: Timestamp) -> Next {
    let once = pending.effect.class == DeliveryClass::AtMostOnce;
    let begun = pending.attempts > 0;
    if once && begun && pending.token.is_none() {
        return Next::End(Ending::Unknown("interrupted after it had begun".to_owned()));
    }
    if now >= pending.effect.expires {
        return Next::End(expired(pending));
    }
    if pending.due > now {
        return Next::Wait(pending.due.min(pending.effect.expires));
    }
    match &pending.token {
        Some(token) if polls(&pending.effect.action) => Next::Poll(token.clone()),
        _ => {
            let mut attempt = Box::new(pending.clone());
            if attempt.token.take().is_none() {
                attempt.attempts = attempt.attempts.saturating_add(1);
            }
            if once { Next::WriteThenCall(attempt) } else { Next::Call(attempt) }
        }
    }
}

/// What the answer to a call makes of `attempt`, which is the document with the attempt counted in. `absences` is how
/// often in a row there was nothing to call.
pub fn called(attempt: &Pending, answer: Result<Outcome, CallError>, absences: u32, now: Timestamp) -> After {
    let once = attempt.effect.class == DeliveryClass::AtMostOnce;
    match answer {
        Ok(outcome) => settled(attempt, outcome, now),
        Err(CallError::Unavailable { message }) if once => {
            // It never began, which has to be written: the attempt was counted before.
            let mut back = Box::new(attempt.clone());
            back.attempts = back.attempts.saturating_sub(1);
            back.due = now.plus(absence(absences));
            back.last_error = Some(short(&message));
            After::Keep(back)
        }
        Err(CallError::Unavailable { .. }) => After::Later(now.plus(absence(absences))),
        Err(error) if once && (error.is_misbehaviour() || error == CallError::Cancelled) => {
            After::End(Ending::Unknown(format!("cut off after it had begun: {}", words(&error))))
        }
        Err(error @ CallError::Retry { .. }) if once => After::End(Ending::Unknown(doubt(&error))),
        // The host is stopping; the next start goes on.
        Err(CallError::Cancelled) => After::Later(now.plus(FIRST_ABSENCE)),
        Err(error) if once || !error.is_retryable() => After::End(Ending::Failed(words(&error))),
        Err(error) => match attempt.effect.backoff.delay(attempt.attempts) {
            None => {
                let (attempts, words) = (attempt.attempts, words(&error));
                After::End(Ending::Failed(format!("gave up after {attempts} attempts, the last: {words}")))
            }
            Some(delay) => {
                let due = now.plus(error.retry_after().map_or(delay, |after| after.max(delay)));
                if due >= attempt.effect.expires {
                    return After::End(Ending::Failed(format!(
                        "gave up after {} attempts, the next would come too late: {}",
                        attempt.attempts,
                        words(&error)
                    )));
                }
                After::Keep(Box::new(Pending { due, token: None, last_error: Some(words(&error)), ..attempt.clone() }))
            }
        },
    }
}

/// What the answer to a poll makes of the document.
pub fn polled(pending: &Pending, answer: Result<Outcome, CallError>, now: Timestamp) -> After {
    match answer {
        Ok(outcome) => settled(pending, outcome, now),
        Err(error) if error.is_retryable() => {
            After::Later(now.plus(error.retry_after().map_or(POLL_AGAIN, |after| after.max(POLL_AGAIN))))
        }
        // Whatever is refused now, the effect had begun.
        Err(error @ CallError::Rejected { .. }) if pending.effect.class == DeliveryClass::AtMostOnce => {
            After::End(Ending::Unknown(doubt(&error)))
        }
        Err(error) => After::End(Ending::Failed(words(&error))),
    }
}

/// How an attempt ends whose answer can't be stored.
pub fn unkept(attempt: &Pending, reason: &str) -> Ending {
    let message = format!("its result can't be kept: {}", short(reason));
    match attempt.effect.class {
        DeliveryClass::AtMostOnce => Ending::Unknown(message),
        DeliveryClass::AtLeastOnce => Ending::Failed(message),
    }
}

/// A failure as it is kept.
pub fn words(error: &CallError) -> String {
    short(&error.to_string())
}

fn doubt(error: &CallError) -> String {
    format!("it is not known whether it was done: {}", words(error))
}

pub fn short(text: &str) -> String {
    match text.get(..text.floor_char_boundary(WORDS_BYTES)) {
        Some(beginning) if beginning.len() < text.len() => format!("{beginning}... ({} bytes)", text.len()),
        _ => text.to_owned(),
    }
}

/// How long to wait when there was nothing to call for the `times`th time in a row (from 0).
pub fn absence(times: u32) -> Span {
    let factor = 1u64.checked_shl(times.min(16)).unwrap_or(u64::MAX);
    Span::from_millis(FIRST_ABSENCE.as_millis().saturating_mul(factor)).min(LAST_ABSENCE)
}

fn settled(pending: &Pending, outcome: Outcome, now: Timestamp) -> After {
    match outcome {
        Outcome::Done(outputs) => After::End(Ending::Done(outputs)),
        Outcome::Pending { token, after } => {
            let due = now.plus(after.max(SHORTEST_POLL));
            if pending.token.as_ref() == Some(&token) {
                // As it is written already.
                return After::Later(due);
            }
            After::Keep(Box::new(Pending { due, token: Some(token), last_error: None, ..pending.clone() }))
        }
    }
}

fn expired(pending: &Pending) -> Ending {
    let why = pending.last_error.as_ref().map_or(String::new(), |error| format!(": {error}"));
    if pending.attempts == 0 {
        return Ending::Failed(format!("expired before it could begin{why}"));
    }
    match pending.effect.class {
        DeliveryClass::AtMostOnce => Ending::Unknown(format!("expired before it had ended{why}")),
        DeliveryClass::AtLeastOnce => Ending::Failed(format!("expired after {} attempts{why}", pending.attempts)),
    }
}

/// Whether the kind has a `poll`. A deployment target has none: the same step with the same key is applied again.
fn polls(action: &Action) -> bool {
    matches!(action, Action::Notify { .. } | Action::RunStep { .. })
}

#[cfg(test)]
mod tests;
