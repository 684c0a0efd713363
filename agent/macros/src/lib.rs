//! The `main` attribute of the Weighbridge agent.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as TokenStream2;
use quote::quote;
use syn::parse::Parser as _;
use syn::{ItemFn, LitInt, LitStr, parse_macro_input};

/// Turns an `async fn main` into one that runs on a runtime whose threads are weighed.
///
/// ```ignore
/// #[weighbridge_agent::main]
/// async fn main() {
///     let _agent = weighbridge_agent::init();
/// }
/// ```
///
/// Arguments, as for `tokio::main`: `flavor = "multi_thread"` (the default) or `"current_thread"`, and
/// `worker_threads = N` for the first. A runtime that cannot be built panics, as there is nothing else to run.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    expand(arguments, function)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

fn expand(arguments: TokenStream, mut function: ItemFn) -> syn::Result<TokenStream2> {
    if function.sig.asyncness.take().is_none() {
        return Err(syn::Error::new_spanned(
            function.sig.fn_token,
            "this attribute needs an `async fn`",
        ));
    }
    if let Some(input) = function.sig.inputs.first() {
        return Err(syn::Error::new_spanned(
            input,
            "a main function takes no arguments",
        ));
    }
    let mut current_thread = false;
    let mut worker_threads = None;
    syn::meta::parser(|meta| {
        if meta.path.is_ident("flavor") {
            let flavor: LitStr = meta.value()?.parse()?;
            current_thread = match flavor.value().as_str() {
                "multi_thread" => false,
                "current_thread" => true,
                _ => {
                    return Err(syn::Error::new(
                        flavor.span(),
                        "write `multi_thread` or `current_thread`",
                    ));
                }
            };
            Ok(())
        } else if meta.path.is_ident("worker_threads") {
            let n: LitInt = meta.value()?.parse()?;
            worker_threads = Some((n.base10_parse::<usize>()?, n.span()));
            Ok(())
        } else {
            Err(meta.error("unknown argument; write `flavor` or `worker_threads`"))
        }
    })
    .parse(arguments)?;
    let support = quote!(::weighbridge_agent::macro_support);
    let flavor = match (current_thread, worker_threads) {
        (true, None) => quote!(#support::Flavor::CurrentThread),
        (true, Some((_, span))) => {
            return Err(syn::Error::new(
                span,
                "`worker_threads` needs the flavor `multi_thread`",
            ));
        }
        (false, None) => {
            quote!(#support::Flavor::MultiThread { worker_threads: ::core::option::Option::None })
        }
        (false, Some((n, _))) => {
            quote!(#support::Flavor::MultiThread { worker_threads: ::core::option::Option::Some(#n) })
        }
    };
    let ItemFn {
        attrs,
        vis,
        sig,
        block,
    } = function;
    Ok(quote! {
        #(#attrs)*
        #vis #sig {
            let body = async #block;
            #[allow(clippy::panic)]
            match #support::block_on(#flavor, body) {
                ::core::result::Result::Ok(output) => output,
                ::core::result::Result::Err(error) => panic!("cannot build the runtime: {error}"),
            }
        }
    })
}
