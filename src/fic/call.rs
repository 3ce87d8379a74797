//! The calls, by name.

/// A call, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names of the calls of the API")]
pub enum Call {
    SignIn,
    List,
    Show,
    Create,
    Delete,
    Operations,
}

impl Call {
    /// A fixed name for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::List => "list",
            Self::Show => "show",
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Operations => "operations",
        }
    }
}
