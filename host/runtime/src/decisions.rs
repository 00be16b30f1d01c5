//! What plugins that decide are asked and answer, in a form that can be kept, asked again and compared.

mod journal;
mod question;
mod record;
mod tally;

pub(crate) use journal::{Journal, LARGEST, Outgoing};
pub(crate) use question::Question;
pub(crate) use record::{Decided, Failed, Outcome, Record, decided_by};
pub(crate) use tally::{Asked, Tally};
