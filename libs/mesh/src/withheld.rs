//! Values that are not printed when they are wrong.

use std::ffi::OsStr;
use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

/// Parses a value that may hold a password. What clap's own parsers say of a wrong value begins with that value, and
/// ends in the log of whatever starts the program. The errors of `T` must not hold it either.
pub struct Withheld<T>(PhantomData<fn() -> T>);

impl<T> Withheld<T> {
    /// A parser by `T`'s own [`FromStr`].
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "it stands in attributes, where a name says more"
    )]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Clone for Withheld<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T> TypedValueParser for Withheld<T>
where
    T: FromStr<Err: Display> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let text = value.to_str().ok_or_else(|| "is not UTF-8".to_owned());
        let parsed = text.and_then(|text| text.parse().map_err(|error: T::Err| error.to_string()));
        parsed.map_err(|problem| {
            let name = arg.map(ToString::to_string).unwrap_or_default();
            let message =
                format!("the value of '{name}', which is not shown, is invalid: {problem}");
            command.clone().error(ErrorKind::ValueValidation, message)
        })
    }
}
