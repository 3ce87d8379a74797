//! A client that only reads. What is handed a [`FicReader`] can neither buy nor abolish a contract.

use super::{Access, FicClient};
use crate::domain::contract::{Contract, ContractId};
use crate::domain::error::FicError;

/// A [`FicClient`] that only signs in, lists and shows.
pub struct FicReader(FicClient);

impl From<FicClient> for FicReader {
    fn from(client: FicClient) -> Self {
        Self(client)
    }
}

impl FicReader {
    /// Gets a token for the tenant.
    ///
    /// # Errors
    /// When Keystone issues no token.
    pub async fn sign_in(&self, access: &Access) -> Result<(), FicError> {
        self.0.token(access).await.map(drop)
    }

    /// See [`FicClient::list`].
    ///
    /// # Errors
    /// As there.
    pub async fn list(&self, access: &Access) -> Result<Vec<Contract>, FicError> {
        self.0.list(access).await
    }

    /// See [`FicClient::show`].
    ///
    /// # Errors
    /// As there.
    pub async fn show(&self, access: &Access, id: &ContractId) -> Result<Option<Contract>, FicError> {
        self.0.show(access, id).await
    }

    /// See [`FicClient::operation_error`].
    pub async fn operation_error(&self, access: &Access, id: &ContractId) -> Option<Box<str>> {
        self.0.operation_error(access, id).await
    }
}
