//! Secrets by name. Only the doors of the runtime ask for them.

pub trait Secrets: Send + Sync + 'static {
    /// The secret's bytes; `None` where there is none of that name (or its file or variable can't be read).
    fn secret(&self, name: &str) -> Option<Vec<u8>>;
}
