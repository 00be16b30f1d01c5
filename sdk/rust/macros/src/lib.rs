//! `#[derive(Schema)]`: the JSON Schema of a configuration, from its fields, doc comments and serde attributes.
//!
//! What it makes is tables of constants and no code that walks a tree, since it becomes part of every component: a
//! component that derives its schema this way has some fifty kilobytes less than with a general schema library.

mod fields;
mod variants;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Expr, ExprLit, Fields, Lit, LitStr, Meta};

/// Implements `quarterdeck_sdk::schema::Schema` for a struct with named fields, an enum without fields, or an untagged enum
/// of variants with one field each.
///
/// Of serde's attributes it reads `default`, `rename`, `rename_all = "kebab-case"` and `"lowercase"`, and `untagged`. Members
/// that a schema is to have beyond that are given as `#[schema("x-name" = true)]` on a field.
#[proc_macro_derive(Schema, attributes(schema, serde))]
pub fn derive_schema(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = syn::parse_macro_input!(input as DeriveInput);
    implement(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn implement(input: &DeriveInput) -> syn::Result<TokenStream> {
    let name = &input.ident;
    let krate = quote!(::quarterdeck_sdk::schema);
    let (schema, value) = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) => fields::body(&krate, input, named)?,
            _ => return Err(syn::Error::new_spanned(name, "a configuration has named fields")),
        },
        Data::Enum(data) => variants::body(&krate, input, data)?,
        Data::Union(_) => return Err(syn::Error::new_spanned(name, "a union has no schema")),
    };
    let (generics, types, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics #krate::Schema for #name #types #bounds {
            fn schema(place: &#krate::Place<'_>, out: &mut ::std::string::String) {
                #schema
            }

            fn value(&self, out: &mut ::std::string::String) {
                #value
            }
        }
    })
}

/// A string in JSON. Names and texts are written in JSON here, so that no component has to.
fn json(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// The doc comment in JSON: lines of a paragraph joined by spaces, paragraphs by an empty line. Empty, if there is none.
fn doc(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        let Meta::NameValue(pair) = &attribute.meta else { continue };
        let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &pair.value else { continue };
        let line = line.value();
        match line.trim() {
            "" if text.is_empty() || text.ends_with('\n') => {}
            "" => text.push_str("\n\n"),
            line => {
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push(' ');
                }
                text.push_str(line);
            }
        }
    }
    match text.trim_end() {
        "" => String::new(),
        text => json(text),
    }
}

/// What serde's attributes say, as far as a schema shows it.
#[derive(Default)]
struct Serde {
    /// `Some(None)`: the type's own default.
    default: Option<Option<LitStr>>,
    rename: Option<String>,
    rename_all: Option<String>,
    untagged: bool,
}

fn serde(attributes: &[Attribute]) -> syn::Result<Serde> {
    let mut found = Serde::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            let value = |meta: &syn::meta::ParseNestedMeta<'_>| meta.value()?.parse::<LitStr>();
            if meta.path.is_ident("default") {
                found.default = Some(if meta.input.peek(syn::Token![=]) { Some(value(&meta)?) } else { None });
            } else if meta.path.is_ident("rename") {
                found.rename = Some(value(&meta)?.value());
            } else if meta.path.is_ident("rename_all") {
                found.rename_all = Some(value(&meta)?.value());
            } else if meta.path.is_ident("untagged") {
                found.untagged = true;
            } else if meta.path.is_ident("deny_unknown_fields") {
            } else if meta.path.is_ident("crate") {
                value(&meta)?;
            } else {
                return Err(
                    meta.error("its schema can't be derived: write it in terms of `default`, `rename` and `untagged`")
                );
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// The name that serde gives a field or a variant.
fn renamed(name: &syn::Ident, own: &Serde, all: &Serde, is_variant: bool) -> syn::Result<String> {
    use syn::ext::IdentExt as _;
    if let Some(rename) = &own.rename {
        return Ok(rename.clone());
    }
    let plain = name.unraw().to_string();
    match all.rename_all.as_deref() {
        None => Ok(plain),
        Some("lowercase") if is_variant => Ok(plain.to_lowercase()),
        Some("lowercase") => Ok(plain),
        Some("kebab-case") if is_variant => {
            let mut text = String::new();
            for letter in plain.chars() {
                if letter.is_uppercase() && !text.is_empty() {
                    text.push('-');
                }
                text.extend(letter.to_lowercase());
            }
            Ok(text)
        }
        Some("kebab-case") => Ok(plain.replace('_', "-")),
        Some(other) => Err(syn::Error::new_spanned(
            name,
            format!("`rename_all = \"{other}\"` is not known here; hint: kebab-case, lowercase, or `rename`"),
        )),
    }
}
