//! A struct with named fields.

use crate::{doc, json, renamed, serde};
use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, DeriveInput, Expr, ExprPath, FieldsNamed, Lit, LitStr, Token, Type};

/// The bodies of `schema` and `value`.
pub(crate) fn body(
    krate: &TokenStream,
    input: &DeriveInput,
    named: &FieldsNamed,
) -> syn::Result<(TokenStream, TokenStream)> {
    let of_struct = serde(&input.attrs)?;
    if of_struct.default.is_some() {
        return Err(syn::Error::new_spanned(&input.ident, "write `#[serde(default)]` on each field"));
    }
    let (mut fields, mut values) = (Vec::new(), Vec::new());
    for field in &named.named {
        let Some(ident) = &field.ident else { continue };
        let of_field = serde(&field.attrs)?;
        let name = json(&renamed(ident, &of_field, &of_struct, false)?);
        let (text, ty, more) = (doc(&field.attrs), &field.ty, more(&field.attrs)?);
        let is_required = of_field.default.is_none() && !is_option(ty);
        let default = match &of_field.default {
            None => quote!(::core::option::Option::None),
            Some(function) => {
                let value = match function {
                    None => quote!(<#ty as ::core::default::Default>::default()),
                    Some(path) => {
                        let path: ExprPath = path.parse()?;
                        quote!(#path())
                    }
                };
                quote!(::core::option::Option::Some(|out| {
                    let value: #ty = #value;
                    #krate::Schema::value(&value, out);
                }))
            }
        };
        fields.push(quote! {
            #krate::Field {
                name: #name,
                doc: #text,
                schema: <#ty as #krate::Schema>::schema,
                is_required: #is_required,
                default: #default,
                more: #more,
            }
        });
        values.push(quote!((#name, &self.#ident as &dyn #krate::Schema)));
    }
    let (title, text) = (json(&input.ident.to_string()), doc(&input.attrs));
    Ok((
        quote!(#krate::object(place, #title, #text, &[#(#fields),*], out);),
        quote!(#krate::members(&[#(#values),*], out);),
    ))
}

/// serde takes a missing `Option` for `None`.
fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

/// `#[schema("x-name" = true)]` as `,"x-name":true`.
fn more(attributes: &[Attribute]) -> syn::Result<String> {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("schema")) {
        attribute.parse_args_with(|input: syn::parse::ParseStream<'_>| {
            let name: LitStr = input.parse()?;
            input.parse::<Token![=]>()?;
            let value = match input.parse::<Expr>()? {
                Expr::Lit(literal) => match literal.lit {
                    Lit::Bool(value) => value.value.to_string(),
                    Lit::Int(value) => value.base10_digits().to_owned(),
                    Lit::Str(value) => json(&value.value()),
                    other => return Err(syn::Error::new_spanned(other, "true, false, an integer or a string")),
                },
                other => return Err(syn::Error::new_spanned(other, "true, false, an integer or a string")),
            };
            text.push_str(&format!(",{}:{value}", json(&name.value())));
            Ok(())
        })?;
    }
    Ok(text)
}
