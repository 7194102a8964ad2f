//! Reading numbers, flags, keys and nested objects of a body.

use super::Fields;
use crate::code::{Code, Refusal};
use crate::json::Json;

impl<'a> Fields<'a> {
    /// An object that must be there.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`.
    pub fn nested(&mut self, name: &'static str) -> Result<Self, Refusal> {
        let path = self.path.member(name);
        Self::new(self.required(name)?, path)
    }

    /// A list of 1 to `limit` objects.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`, `SIZE_LIMIT`.
    pub fn objects(&mut self, name: &'static str, limit: usize) -> Result<Vec<Self>, Refusal> {
        let path = self.path.member(name);
        let items: &'a [Json<'a>] = self.list(name, limit)?;
        if items.is_empty() {
            return Err(self.missing(name));
        }
        items.iter().map(|item| Self::new(item, path)).collect()
    }

    /// A whole number that fits its type.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`, `BAD_NUMBER`.
    pub fn number<N: TryFrom<i64>>(&mut self, name: &'static str) -> Result<N, Refusal> {
        self.optional_number(name)?.ok_or_else(|| self.missing(name))
    }

    /// A whole number that fits its type, if there is one.
    ///
    /// # Errors
    /// `SCHEMA_INVALID`, `BAD_NUMBER`.
    pub fn optional_number<N: TryFrom<i64>>(&mut self, name: &'static str) -> Result<Option<N>, Refusal> {
        match self.optional(name) {
            None => Ok(None),
            Some(Json::Integer(value)) => N::try_from(*value).map(Some).map_err(|_| {
                Refusal::new(Code::BadNumber, format!("{}{name} is {value}, out of range", self.path))
            }),
            Some(other) => Err(self.wrong(name, other, "a whole number")),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`.
    pub fn flag(&mut self, name: &'static str) -> Result<bool, Refusal> {
        match self.required(name)? {
            Json::Bool(flag) => Ok(*flag),
            other => Err(self.wrong(name, other, "true or false")),
        }
    }

    /// A text of a form of its own: a key, a signature.
    ///
    /// # Errors
    /// `MISSING_FIELD`, `SCHEMA_INVALID`.
    pub fn parsed<T: std::str::FromStr>(&mut self, name: &'static str, form: &str) -> Result<T, Refusal> {
        let text = self.text(name, super::NAME_BYTES_MAX)?;
        text.parse().map_err(|_| self.invalid(name, text, form))
    }
}
