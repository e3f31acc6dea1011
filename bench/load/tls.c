/*
 * A client's half of TLS, and the certificate that the proxies show. Built with OpenSSL where LOAD_TLS is defined;
 * without it, there is no `load certificate`, and no client with --tls.
 */
#define _GNU_SOURCE
#include "load.h"

#ifdef LOAD_TLS

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HOST "localhost"

static SSL_CTX *context;

static void __attribute__((noreturn)) fail_tls(const char *what) {
  unsigned long code = ERR_peek_last_error();
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  fail("TLS: %s: %s", what, reason ? reason : errno ? strerror(errno) : "no reason given");
}

/*
 * One version, one suite, one group, one kind of signature, no session to resume: whatever the servers would prefer, the
 * handshakes of all of them are the same work. HTTP/1.1 is what a browser offers for a WebSocket.
 */
void tls_prepare(const char *certificate) {
  static const unsigned char protocols[] = "\x08http/1.1";
  context = SSL_CTX_new(TLS_client_method());
  if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
      !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") || !SSL_CTX_set1_groups_list(context, "X25519") ||
      !SSL_CTX_set1_sigalgs_list(context, "ECDSA+SHA256") ||
      SSL_CTX_set_alpn_protos(context, protocols, sizeof protocols - 1) != 0) {
    fail_tls("cannot be set up");
  }
  if (!SSL_CTX_load_verify_file(context, certificate)) fail_tls(certificate);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(context, 1);
  /* A proxy may end TCP without ending TLS first. Whether all has arrived is what Close frames tell. */
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
}

struct tls *tls_open(int fd) {
  SSL *ssl = SSL_new(context);
  if (!ssl || !SSL_set_fd(ssl, fd) || !SSL_set_tlsext_host_name(ssl, HOST) || !SSL_set1_host(ssl, HOST)) {
    fail_tls("no connection");
  }
  SSL_set_connect_state(ssl);
  return (struct tls *)ssl;
}

/* Whether the kernel has to be waited for; anything else that is wrong ends the run. */
static bool must_wait(SSL *ssl, int result, const char *what) {
  int error = SSL_get_error(ssl, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return true;
  if (error == SSL_ERROR_ZERO_RETURN) return false;
  fail_tls(what);
}

bool tls_handshake(struct tls *tls, uint32_t *events) {
  SSL *ssl = (SSL *)tls;
  ERR_clear_error();
  int result = SSL_do_handshake(ssl);
  if (result == 1) return true;
  if (!must_wait(ssl, result, "handshake")) fail("TLS: the handshake was ended");
  *events = SSL_want_write(ssl) ? EPOLLOUT : EPOLLIN;
  return false;
}

ssize_t tls_read(struct tls *tls, void *data, size_t room) {
  SSL *ssl = (SSL *)tls;
  ERR_clear_error();
  int got = SSL_read(ssl, data, (int)room);
  if (got > 0) return got;
  if (!must_wait(ssl, got, "read")) return 0;
  errno = EAGAIN;
  return -1;
}

bool tls_has_more(const struct tls *tls) { return SSL_has_pending((const SSL *)tls); }

ssize_t tls_write(struct tls *tls, const void *data, size_t length) {
  SSL *ssl = (SSL *)tls;
  ERR_clear_error();
  int written = SSL_write(ssl, data, (int)length);
  if (written > 0) return written;
  if (!must_wait(ssl, written, "write")) fail("TLS: write: the other side has ended");
  errno = EAGAIN;
  return -1;
}

void tls_close(struct tls *tls) {
  SSL_shutdown((SSL *)tls);
  ERR_clear_error();
  SSL_free((SSL *)tls);
}

/* ---- the certificate ---- */

static void add_extension(X509 *certificate, int kind, const char *value) {
  X509V3_CTX about;
  X509V3_set_ctx(&about, certificate, certificate, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &about, kind, value);
  if (!extension || !X509_add_ext(certificate, extension, -1)) fail_tls("certificate");
  X509_EXTENSION_free(extension);
}

static X509 *make_certificate(EVP_PKEY *key) {
  enum { DAY_S = 24 * 60 * 60 };
  X509 *certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), random64() >> 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 30 * DAY_S);
  X509_NAME *name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)HOST, -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_set_pubkey(certificate, key);
  add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(certificate, NID_subject_alt_name, "DNS:" HOST);
  if (!X509_sign(certificate, key, EVP_sha256())) fail_tls("certificate");
  return certificate;
}

int certificate_main(int count, char **args) {
  if (count != 1) usage("usage: load certificate FILE");
  EVP_PKEY *key = EVP_EC_gen("P-256");
  if (!key) fail_tls("key");
  X509 *certificate = make_certificate(key);
  int fd = open(args[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
  if (!file) usage("certificate: %s: %s", args[0], strerror(errno));
  bool is_written = PEM_write_X509(file, certificate) && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
  if (fclose(file) != 0 || !is_written) usage("certificate: %s cannot be written", args[0]);
  return 0;
}

#else

#pragma GCC diagnostic ignored "-Wunused-parameter"

static void __attribute__((noreturn)) refuse(void) { usage("this load generator was built without OpenSSL"); }

void tls_prepare(const char *certificate) { refuse(); }
struct tls *tls_open(int fd) { refuse(); }
bool tls_handshake(struct tls *tls, uint32_t *events) { refuse(); }
ssize_t tls_read(struct tls *tls, void *data, size_t room) { refuse(); }
bool tls_has_more(const struct tls *tls) { refuse(); }
ssize_t tls_write(struct tls *tls, const void *data, size_t length) { refuse(); }
void tls_close(struct tls *tls) { refuse(); }
int certificate_main(int count, char **args) { refuse(); }

#endif
