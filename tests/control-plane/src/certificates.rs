//! Generates the PKI of a control plane: a CA, a serving certificate, a client certificate of the administrator, and
//! the key that signs service account tokens.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::{Error, context};

/// Generates all keys and certificates in the folder of a control plane.
///
/// # Errors
/// When a key or certificate cannot be generated, or a file cannot be written.
pub fn generate(folder: &Path) -> Result<(), Error> {
    let write =
        |name: &str, text: String| fs::write(folder.join(name), text).map_err(context(format!("writing {name}")));
    let authority = certificate_authority()?;
    write("ca.crt", authority.pem())?;
    let serving = certificate(
        &authority,
        &[(DnType::CommonName, "kube-apiserver")],
        &["127.0.0.1", "localhost", "kubernetes.default.svc"],
        ExtendedKeyUsagePurpose::ServerAuth,
    )?;
    write("server.crt", serving.0)?;
    write("server.key", serving.1)?;
    let name = [(DnType::OrganizationName, "system:masters"), (DnType::CommonName, "admin")];
    let admin = certificate(&authority, &name, &[], ExtendedKeyUsagePurpose::ClientAuth)?;
    write("admin.crt", admin.0)?;
    write("admin.key", admin.1)?;
    let signing = KeyPair::generate().map_err(context("generating a key"))?;
    write("service-accounts.key", signing.serialize_pem())?;
    write("service-accounts.pub", signing.public_key_pem())
}

fn certificate_authority() -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.distinguished_name.push(DnType::CommonName, "local control plane");
    let key = KeyPair::generate().map_err(context("generating a key"))?;
    CertifiedIssuer::self_signed(parameters, key).map_err(context("generating the CA certificate"))
}

/// A certificate that the authority has signed, and its key, both in PEM.
fn certificate(
    authority: &CertifiedIssuer<'_, KeyPair>,
    name: &[(DnType, &str)],
    hosts: &[&str],
    purpose: ExtendedKeyUsagePurpose,
) -> Result<(String, String), Error> {
    let hosts = hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut parameters = CertificateParams::new(hosts).map_err(context("setting the names of a certificate"))?;
    for (kind, value) in name {
        parameters.distinguished_name.push(kind.clone(), *value);
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![purpose];
    let key = KeyPair::generate().map_err(context("generating a key"))?;
    let certificate = parameters.signed_by(&key, authority).map_err(context("signing a certificate"))?;
    Ok((certificate.pem(), key.serialize_pem()))
}
