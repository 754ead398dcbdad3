"""Replies of the kinds that servers send, each with the reason that it means. Written by hand, not from a corpus."""
# ruff: noqa: E501 - replies are as long as they are

SAID = {
    "not_exist": """
550 5.1.1 <a@example.org>: Recipient address rejected: User unknown in virtual mailbox table
550 5.1.1 <a@example.org>: Email address could not be found, or was misspelled (G8)
550-5.1.1 <a@example.org>: Recipient address rejected: undeliverable address: host mx said: 550 no such user
550 Requested action not taken: mailbox unavailable
550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).
550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [BN8NAM11FT020.eop-nam11.prod.protection.outlook.com]
550 No Such User Here
550 Invalid recipient a@example.org (#5.1.1)
550 5.1.1 unknown or illegal alias: a@example.org
550 <a@example.org> No such user here
551 User not local; please try <b@example.net>
553 sorry, this recipient is not in my validrcptto list (#5.7.1)
550 a@example.org is not a known user here
550 5.1.6 Mailbox has moved
550 unrouteable address
550 Unrouteable address
550 #5.1.0 Address rejected.
511 sorry, no mailbox here by that name (#5.1.1 - chkuser)
550 5.1.1 Mailbox <a@example.org> does not exist
550 5.2.1 <a@example.org> Mailbox disabled for this recipient
554 30 Sorry, your message to a@example.org cannot be delivered. This mailbox is disabled (554.30).
550 Mailbox not found. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000728
550 User not found: a@example.org
550 Invalid User: a@example.org
550 5.1.1 The email account that you tried to reach is inactive
550-5.1.1 The user you are trying to contact does not exist here
550 Account a@example.org is closed
550 5.7.1 a@example.org... Account has been suspended
550 Empfaenger unbekannt
550 Destinataire inconnu
550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR204_416 [416]
550 5.1.1 El usuario no existe
550 5.1.2 <a@example.invalid>: Domain not found
550 Host unknown
553 5.1.2 We cannot deliver to this domain: no such domain
550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup
450 4.1.1 <a@example.org>: Recipient address rejected: unverified address: unknown user
550 recipient no longer with the company
550 relay not permitted, user doesn't exist
550 用户不存在
550 recipient domain must exist
550 This address no longer accepts mail
550 Archived recipient
556 5.1.10 Recipient domain has a null MX
550 5.1.1 permanent failure for one or more recipients (a@example.org:550 5.1.1 user unknown)
""",
    "format_error": """
501 5.1.3 Invalid address format
553 5.1.3 <a@@example.org>... Malformed address
501 Syntax error in recipient address
555 5.5.2 Syntax error, cannot parse recipient address
501 5.1.3 Recipient address syntax error
501 <a>: recipient address must contain a domain: domain missing
""",
    "ip_or_domain": """
550 5.7.1 Service unavailable; Client host [1.2.3.4] blocked using b.barracudacentral.org
554 5.7.1 Rejected: 1.2.3.4 listed at zen.example.net
550 5.7.1 Connection refused - IP 1.2.3.4 is blacklisted
421 4.7.0 [TSS04] Messages from 1.2.3.4 temporarily deferred due to user complaints - 4.16.55.1
421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address.
421-4.7.0 [1.2.3.4 15] Our system has detected that this message is suspicious due to the very low reputation of the sending IP address.
550-5.7.1 [1.2.3.4 19] Our system has detected that this message is likely suspicious due to the very low reputation of the sending domain.
550 5.7.26 This mail is unauthenticated, which poses a security risk to the sender and Gmail users, and has been blocked.
550 5.7.1 SPF fail for example.com
550 5.7.515 Access denied, sending domain EXAMPLE.COM does not meet the required authentication level.
554 5.7.5 Permanent error evaluating DMARC policy
550 DMARC check failed. http://service.mail.qq.com
554 Your IP 1.2.3.4 is not allowed to send mail to us
450 4.7.25 Client host rejected: cannot find your hostname, [1.2.3.4]
550 5.7.25 The IP address sending this message does not have a PTR record
554-No SMTP service 554-Bad DNS PTR resource record. 554 For explanation visit http://postmaster.example.com
554 Nemesis ESMTP service not available. No SMTP service. IP address is block listed.
421 Too many concurrent SMTP connections from your host
421 4.7.0 Too many connections, try again later
450 4.2.1 The user you are trying to contact is receiving mail too quickly. Please resend your message at a later time.
451 4.7.1 Rate limit exceeded for your domain
452 4.5.3 Too many messages in this session
550 Domain frequency limited
550 RP:TRC 163 mx10
421 HL:ICC 163 mx5
450 DT:RBL 163 mx9
421 4.7.1 : (DYN:T1) https://postmaster.example.com/error-codes#421dynt1
421 imta24.example.net Throttled - see http://postmaster.example.net
554 5.7.1 You are not allowed to connect.
550 5.7.1 Dynamic IP addresses are not accepted here; use your provider's mail server
550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)
554 5.7.1 <out.example.com>: Helo command rejected: Host not found
550 5.7.511 Access denied, banned sender
554 Denied (Mode: normal): your IP has a poor reputation
550 5.7.1 Unfortunately, messages from [1.2.3.4] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).
421 4.4.5 directory harvest attack detected
451 4.7.500 Server busy. Please try again later from [1.2.3.4]. (S77719)
550 high volume of junk from this ip address 1.2.3.4, blocked
""",
    "spam": """
554 5.7.1 This message has been identified as spam
550 5.7.1 Message rejected as spam by Content Filtering.
552 5.7.0 Message rejected: virus detected
550 Mail content denied. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000726
554 DT:SPM 163 smtp1
550 5.7.1 Our system has detected that this message is likely unsolicited mail. To reduce the amount of spam sent to Gmail, this message has been blocked.
554 5.7.1 Spam message rejected; If this is not spam contact abuse
550 High probability of spam
571 Message Refused: spam score 12.3
550 Message contains malware
554 rejected due to spam content
550 This message was classified as SPAM and may not be delivered
550 Message was blocked by the phishing filter
""",
    "rejected": """
550 5.7.1 Message rejected due to local policy
550 Mail is rejected by recipients
554 5.7.1 <a@example.org>: Relay access denied
550 relaying denied
550 5.7.1 Unable to relay
550 Administrative prohibition
550 5.7.1 RESOLVER.RST.NotAuthorized; not authorized
552 5.3.4 Message size exceeds fixed limit
552 message too large
523 5.2.3 Message too large for the recipient
501 5.1.7 Invalid sender address
553 5.1.8 Domain of sender address b@example.com does not exist
550 Sender verify failed
550 5.1.0 Sender rejected
554 5.7.0 Your message contains a prohibited attachment type
550 5.7.1 Message headers fail syntax check
530 5.7.0 Must issue a STARTTLS command first
530 5.7.1 Authentication required
550 message filtered
550 we don't handle mail for example.org
550 We do not accept messages containing images or other attachments
550 closed mailing list
550 5.7.1 The user rejected your message
550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required; Delivery restriction check failed
""",
    "other": """
452 4.2.2 The email account that you tried to reach is over quota
552 5.2.2 Mailbox full
422 The recipient's mailbox is over its storage limit
552 Requested mail action aborted: exceeded storage allocation
550 Quota exceeded
452 4.2.2 Over quota
554 5.2.2 mailbox is full: retry timeout exceeded
550 Account storage limit reached
550 User is over the quota. You can try again later.
550 收件人空间不足
550 the user is over their space quota
452 user has too many messages on the server
451 4.7.1 Please try again later
451 4.7.1 <out.example.com[1.2.3.4]>: Client host rejected: Greylisted for 300 seconds
450 4.2.0 Greylisted, please try again later
451 4.7.1 Greylisting in action, please come back in 00:04:59
503 5.5.1 Bad sequence of commands
500 Unrecognized command
""",
    "server_error": """
451 4.3.0 Temporary lookup failure
451 4.3.0 Error: queue file write error
451 Requested action aborted: local error in processing
421 Service not available, closing transmission channel
452 4.3.1 Insufficient system storage
451 Temporary local problem - please try later
554 5.4.6 Too many hops
554 5.4.14 Hop count exceeded - possible mail loop
550 5.4.4 DNS lookup failure
421 4.4.2 mx.example.org Error: timeout exceeded
451 4.4.0 Connection timed out
554 5.3.5 Local configuration error
432 4.3.2 STOREDRV.Deliver; mailbox server is offline
450 4.4.1 Connection refused
550 5.3.2 System not accepting network messages
554 5.3.0 Unknown mailer error 1
421 4.3.2 System not accepting network messages
421 4.3.0 Temporary System Problem. Try again later
""",
}
