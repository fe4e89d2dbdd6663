//! Verification of certificates as its settings ([`network`]) require. FFmpeg verifies certificates from 9.0
//! on, and its HLS demuxer passes neither `-tls_verify 0` nor `-ca_file` to the connections that fetch
//! segments: the settings of the first playlist have to be applied here to all connections.

use core::ffi::{c_char, c_int, c_uint, c_void};

use crate::network;
use crate::sys::real;

#[allow(clippy::unused_unit, reason = "the macro asks for a value where C has none")]
mod library {
    use super::*;
    real! {
        gnutls_certificate_set_x509_system_trust(credentials: *mut c_void) -> c_int, or -1;
        gnutls_certificate_set_x509_trust_file(credentials: *mut c_void, file: *const c_char, format: c_int) -> c_int, or -1;
        gnutls_certificate_verify_peers2(session: *mut c_void, status: *mut c_uint) -> c_int, or -1;
        gnutls_x509_crt_check_hostname(certificate: *mut c_void, host: *const c_char) -> c_uint, or 0;
        SSL_CTX_set_verify(context: *mut c_void, mode: c_int, callback: *mut c_void) -> (), or ();
    }
}

/// Wraps GnuTLS's function of this name: the configured authorities replace the system's.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn gnutls_certificate_set_x509_system_trust(credentials: *mut c_void) -> c_int {
    const PEM: c_int = 1;
    match network::authorities() {
        // SAFETY: the caller's argument goes to the real function.
        None => unsafe { library::gnutls_certificate_set_x509_system_trust(credentials) },
        // SAFETY: the same, and the name is NUL-terminated.
        Some(file) => unsafe {
            library::gnutls_certificate_set_x509_trust_file(credentials, file.as_ptr(), PEM)
        },
    }
}

/// Wraps GnuTLS's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn gnutls_certificate_verify_peers2(session: *mut c_void, status: *mut c_uint) -> c_int {
    if network::is_unverified() && !status.is_null() {
        // SAFETY: the caller's pointer is where the real function would write.
        unsafe { *status = 0 };
        return 0;
    }
    // SAFETY: the caller's arguments go to the real function.
    unsafe { library::gnutls_certificate_verify_peers2(session, status) }
}

/// Wraps GnuTLS's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn gnutls_x509_crt_check_hostname(
    certificate: *mut c_void,
    host: *const c_char,
) -> c_uint {
    if network::is_unverified() {
        return 1;
    }
    // SAFETY: the caller's arguments go to the real function.
    unsafe { library::gnutls_x509_crt_check_hostname(certificate, host) }
}

/// Wraps OpenSSL's function of this name. (Which authorities it trusts, OpenSSL reads from SSL_CERT_FILE.)
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn SSL_CTX_set_verify(context: *mut c_void, mode: c_int, callback: *mut c_void) {
    const SSL_VERIFY_NONE: c_int = 0;
    let mode = if network::is_unverified() { SSL_VERIFY_NONE } else { mode };
    // SAFETY: the caller's other arguments go to the real function.
    unsafe { library::SSL_CTX_set_verify(context, mode, callback) }
}
