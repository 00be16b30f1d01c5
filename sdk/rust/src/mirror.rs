//! Conversion between what wit-bindgen made and the types of this crate, field by field.

/// Like `Into`, with implementations for containers of what converts.
pub(crate) trait Mirror<T> {
    fn mirror(self) -> T;
}

macro_rules! same {
    ($($type:ty)*) => {$(
        impl Mirror<$type> for $type {
            fn mirror(self) -> $type {
                self
            }
        }
    )*};
}

same! { bool u8 u16 u32 u64 i32 i64 f64 String }

impl<A: Mirror<B>, B> Mirror<Vec<B>> for Vec<A> {
    fn mirror(self) -> Vec<B> {
        self.into_iter().map(Mirror::mirror).collect()
    }
}

impl<A: Mirror<B>, B> Mirror<Option<B>> for Option<A> {
    fn mirror(self) -> Option<B> {
        self.map(Mirror::mirror)
    }
}

impl<A: Mirror<C>, B: Mirror<D>, C, D> Mirror<(C, D)> for (A, B) {
    fn mirror(self) -> (C, D) {
        (self.0.mirror(), self.1.mirror())
    }
}

/// `mirror!(struct From => To { field, .. })`, `mirror!(enum From => To { Variant, .. })`.
macro_rules! mirror {
    ($(struct $from:path => $to:path { $($field:ident),* $(,)? })*) => {$(
        impl $crate::mirror::Mirror<$to> for $from {
            fn mirror(self) -> $to {
                $to { $($field: $crate::mirror::Mirror::mirror(self.$field)),* }
            }
        }
    )*};
    ($(enum $from:path => $to:path { $($variant:ident),* $(,)? })*) => {$(
        impl $crate::mirror::Mirror<$to> for $from {
            fn mirror(self) -> $to {
                match self { $(<$from>::$variant => <$to>::$variant),* }
            }
        }
    )*};
}

pub(crate) use mirror;
