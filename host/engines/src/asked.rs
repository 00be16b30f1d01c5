use crate::Error;

/// Who asks for a change, and which revisions they have seen of what they want changed.
///
/// A name alone asks whatever the revision is: `handle.resolve(id, "ann", None)`.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub principal: &'a str,
    /// The change is made to one of these revisions or not at all. `None`: to any.
    pub seen: Option<&'a [u64]>,
}

impl<'a> From<&'a str> for Asked<'a> {
    fn from(principal: &'a str) -> Self {
        Asked { principal, seen: None }
    }
}

impl Asked<'_> {
    /// Looked at with each document that is decided on, and the commit expects that document's revision: what someone else
    /// writes in between is found out by the one or the other.
    pub(crate) fn check(&self, id: &str, revision: u64) -> Result<(), Error> {
        match self.seen {
            Some(seen) if !seen.contains(&revision) => Err(Error::Changed { id: id.to_owned(), revision }),
            _ => Ok(()),
        }
    }
}
