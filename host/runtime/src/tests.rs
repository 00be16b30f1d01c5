//! The runtime as a whole, over guests that behave and guests that don't.

mod decisions;
mod files;
mod folder;
mod grants;
mod interfaces;
mod isolation;
mod lifecycle;
mod limits;
mod loading;
mod poison;
mod publishers;
mod refusal;
mod reload;
mod reuse;
mod versions;
