/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef INCLUDED_IMAP_ERR_H
#define INCLUDED_IMAP_ERR_H
/*
 * imap_err -- the error codes of the mail store and their texts (handbook 04 §2.7)
 *
 * 0 is success. Codes are negative; the first is the base that com_err computes
 * for a table called "imap", the others follow in the order of this table; our own are at its end.
 */
#define IMAP_ERR_TABLE(X) \
    X(IMAP_INTERNAL, "Internal Error") \
    X(IMAP_IOERROR, "System I/O error") \
    X(IMAP_NOTFOUND, "Item does not exist") \
    X(IMAP_SYS_ERROR, "Operating System Error") \
    X(IMAP_NOSPACE, "mail system storage has been exceeded") \
    X(IMAP_PERMISSION_DENIED, "Permission denied") \
    X(IMAP_QUOTA_EXCEEDED, "Over quota") \
    X(IMAP_MESSAGE_TOO_LARGE, "Message size exceeds fixed limit") \
    X(IMAP_USERFLAG_EXHAUSTED, "Too many user flags in mailbox") \
    X(IMAP_NAMESPACE_BADPREFIX, "Invalid namespace prefix in configuration file") \
    X(IMAP_MAILBOX_BADFORMAT, "Mailbox has an invalid format") \
    X(IMAP_SYNC_CHECKSUM, "Replication inconsistency detected") \
    X(IMAP_SYNC_CHANGED, "Mailbox has changed since last sync") \
    X(IMAP_SYNC_BADSIEVE, "Sieve script compilation failure") \
    X(IMAP_MAILBOX_CHECKSUM, "Mailbox format corruption detected") \
    X(IMAP_MAILBOX_NOTSUPPORTED, "Operation is not supported on mailbox") \
    X(IMAP_MAILBOX_NONEXISTENT, "Mailbox does not exist") \
    X(IMAP_MAILBOX_EXISTS, "Mailbox already exists") \
    X(IMAP_MAILBOX_BADNAME, "Invalid mailbox name") \
    X(IMAP_MAILBOX_BADTYPE, "Invalid mailbox type") \
    X(IMAP_MAILBOX_MOVED, "Mailbox has been moved to another server") \
    X(IMAP_MAILBOX_RESERVED, "Mailbox is currently reserved") \
    X(IMAP_MAILBOX_LOCKED, "Mailbox is locked") \
    X(IMAP_MAILBOX_DISABLED, "Delivery to mailbox is disabled") \
    X(IMAP_MAILBOX_SPECIALUSE, "SPECIAL-USE flag conflict") \
    X(IMAP_MAILBOX_HASCHILDREN, "[HASCHILDREN] Mailbox has inferior hierarchical names") \
    X(IMAP_PARTITION_UNKNOWN, "Unknown/invalid partition") \
    X(IMAP_INVALID_IDENTIFIER, "Invalid identifier") \
    X(IMAP_INVALID_RIGHTS, "Invalid rights") \
    X(IMAP_MESSAGE_CONTAINSNULL, "Message contains NUL characters") \
    X(IMAP_MESSAGE_CONTAINSNL, "Message contains bare newlines") \
    X(IMAP_MESSAGE_CONTAINS8BIT, "Message contains non-ASCII characters in headers") \
    X(IMAP_MESSAGE_BADHEADER, "Message contains invalid header") \
    X(IMAP_MESSAGE_NOBLANKLINE, "Message has no header/body separator") \
    X(IMAP_QUOTAROOT_NONEXISTENT, "Quota root does not exist") \
    X(IMAP_PROTOCOL_ERROR, "Bad protocol") \
    X(IMAP_PROTOCOL_BAD_PARAMETERS, "Syntax error in parameters") \
    X(IMAP_ANNOTATION_BADENTRY, "Invalid annotation entry") \
    X(IMAP_ANNOTATION_BADATTRIB, "Invalid annotation attribute") \
    X(IMAP_ANNOTATION_BADVALUE, "Invalid annotation value") \
    X(IMAP_BADURL, "Bad URL") \
    X(IMAP_ZERO_LENGTH_LITERAL, "Zero-length message literal") \
    X(IMAP_DISABLED, "Command is disabled by configuration") \
    X(IMAP_CONNECTION_READONLY, "This connection is configured for read-only access") \
    X(IMAP_BAD_SERVER, "Invalid server requested") \
    X(IMAP_SERVER_UNAVAILABLE, "Server(s) unavailable to complete operation") \
    X(IMAP_REMOTE_DENIED, "The remote Server(s) denied the operation") \
    X(IMAP_AGAIN, "Retry operation") \
    X(IMAP_NOT_SINGULAR_ROOT, "This mailbox hierarchy does not exist on a single backend server.") \
    X(IMAP_REMOTE_NO_MULTIAPPEND, "The remote server does not support MULTIAPPEND") \
    X(IMAP_UNRECOGNIZED_CHARSET, "Unrecognized character set") \
    X(IMAP_INVALID_USER, "Invalid user") \
    X(IMAP_INVALID_LOGIN, "Login incorrect") \
    X(IMAP_ANONYMOUS_NOT_PERMITTED, "Anonymous login is not permitted") \
    X(IMAP_UNSUPPORTED_QUOTA, "Unsupported quota resource") \
    X(IMAP_USER_LEGACY_DIRS, "User is using legacy mailbox directories.  Reconstruct user first.") \
    X(IMAP_SASL_FAIL, "Authentication failed") \
    X(IMAP_SASL_CANCEL, "Client cancelled authentication") \
    X(IMAP_SASL_PROTERR, "Protocol error during authentication") \
    X(IMAP_NO_OVERQUOTA, "Mailbox is over %s quota") \
    X(IMAP_NO_CLOSEQUOTA, "Mailbox is at %d%% of %s quota") \
    X(IMAP_NO_MSGGONE, "Message %d no longer exists") \
    X(IMAP_NO_CHECKSEEN, "Unable to checkpoint \\Seen state") \
    X(IMAP_NO_CHECKPRESERVE, "Unable to preserve \\Seen state") \
    X(IMAP_NO_NOSUCHMSG, "No matching messages") \
    X(IMAP_NO_NOSUCHANNOTATION, "No matching annotations") \
    X(IMAP_NO_UNKNOWN_CTE, "[UNKNOWN-CTE] Can not process the binary data") \
    X(IMAP_CONVERSATIONS_ALREADY_OPEN, "Conversation DB is already opened") \
    X(IMAP_CONVERSATIONS_NOT_OPEN, "Conversation DB is not opened") \
    X(IMAP_CONVERSATION_GUIDLIMIT, "Too many identical emails") \
    X(IMAP_ANCHOR_NOT_FOUND, "Anchor not found") \
    X(IMAP_CANCELLED, "Command cancelled by user") \
    X(IMAP_SEARCH_SLOW, "Search taking too long - try reducing the set of messages searched") \
    X(IMAP_SEARCH_MUTABLE, "Search is mutable") \
    X(IMAP_SEARCH_NOT_SUPPORTED, "Search is not supported") \
    X(IMAP_BYE_LOGOUT, "LOGOUT received") \
    X(IMAP_OK_COMPLETED, "Completed") \
    X(IMAP_USER_DISABLED, "Mailbox disabled, not accepting messages") \
    X(IMAP_MESSAGE_DAMAGED, "[CORRUPTION] Message file is damaged") \
    X(IMAP_USER_MOVING, "[UNAVAILABLE] This account is moving to another server, please try again there") \
    X(IMAP_USER_ELSEWHERE, "[UNAVAILABLE] This user's home is another server now") \
    X(IMAP_USER_ATHOME, "This user's home is this server") \
    X(IMAP_MAILBOX_RENAMED, "Mailbox has got another name meanwhile")

enum imap_err {
    IMAP_ERR_BEFORE = -1904809473,
#define IMAP_ERR_CODE(code, text) code,
    IMAP_ERR_TABLE(IMAP_ERR_CODE)
#undef IMAP_ERR_CODE
    IMAP_ERR_END
};
_Static_assert(IMAP_OK_COMPLETED == IMAP_INTERNAL + 76, "our own codes are behind those of 3.6.1, which keep their numbers");

/* Text of a code; of 0 "Success", of an errno (positive) that of the system, of anything else "Unknown code ____ <n>".
 * Valid until the next call with an unknown code. */
const char *error_message(int code);

#endif
