//! An enum: without fields, or untagged with one field each.

use crate::{doc, json, renamed, serde};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{DataEnum, DeriveInput, Fields};

/// The bodies of `schema` and `value`.
pub(crate) fn body(
    krate: &TokenStream,
    input: &DeriveInput,
    data: &DataEnum,
) -> syn::Result<(TokenStream, TokenStream)> {
    let of_enum = serde(&input.attrs)?;
    let text = doc(&input.attrs);
    let (mut listed, mut arms) = (Vec::new(), Vec::new());
    for variant in &data.variants {
        let ident = &variant.ident;
        match &variant.fields {
            Fields::Unnamed(fields) if of_enum.untagged && fields.unnamed.len() == 1 => {
                let types = fields.unnamed.iter().map(|field| &field.ty);
                listed.push(quote!(#(<#types as #krate::Schema>::schema),*));
                arms.push(quote!(Self::#ident(value) => #krate::Schema::value(value, out)));
            }
            Fields::Unit if !of_enum.untagged => {
                let name = json(&renamed(ident, &serde(&variant.attrs)?, &of_enum, true)?);
                let text = doc(&variant.attrs);
                listed.push(quote!((#name, #text)));
                arms.push(quote!(Self::#ident => out.push_str(#name)));
            }
            _ => {
                return Err(syn::Error::new_spanned(
                    variant,
                    "variants have no fields, or the enum is `#[serde(untagged)]` and each has one",
                ));
            }
        }
    }
    let function = if of_enum.untagged { quote!(any_of) } else { quote!(one_of) };
    Ok((quote!(#krate::#function(place, #text, &[#(#listed),*], out);), quote!(match self { #(#arms),* })))
}
