catalogue! {
    // 1 input: what a person or program typed or sent, before any meaning
    MalformedJson = 101, "MALFORMED_JSON", "The text is not the JSON that is wanted here.", "Send one well-formed JSON value in UTF-8 without a byte order mark.";
    JsonNotCanonical = 102, "JSON_NOT_CANONICAL", "The body is not RFC 8785 canonical JSON restricted to integers.", "Let the client canonicalise the body; use integers within ±(2^53−1), NFC text and no duplicate names.";
    MalformedBytes = 103, "MALFORMED_BYTES", "The bytes are no encoding of the wanted type.", "Use the codec of the formats page; check the version byte.";
    BadParameter = 104, "BAD_PARAMETER", "A parameter has a value that is not allowed.", "See the detail for the value got and the value wanted.";
    UnknownField = 105, "UNKNOWN_FIELD", "A field is not part of the type.", "Remove the field or correct its name.";
    MissingField = 106, "MISSING_FIELD", "A required field is absent or empty.", "Fill in the field named in the detail.";
    BadDate = 107, "BAD_DATE", "A date does not exist in the calendar or is not in a known form.", "Write the date as YYYY-MM-DD.";
    BadNumber = 108, "BAD_NUMBER", "A number is not in the wanted form or range.", "See the detail for the value got and the range wanted.";
    AmountBelowMinorUnit = 109, "AMOUNT_BELOW_MINOR_UNIT", "An amount is finer than the currency's smallest unit.", "Round the amount in the source system to the minor unit; nothing is rounded silently.";
    NegativeAmount = 110, "NEGATIVE_AMOUNT", "An amount that must not be negative is.", "Correct the amount in the source system.";
    BadText = 111, "BAD_TEXT", "A text holds characters that are not allowed (bidirectional controls, zero-width, not NFC).", "Retype the text without invisible characters.";
    SizeLimit = 112, "SIZE_LIMIT", "Something is larger than its limit.", "See the detail for the size got and the limit; split the input.";
    UsccLength = 113, "USCC_LENGTH", "A unified social credit code does not have 18 characters.", "Check the code at its source.";
    UsccCharset = 114, "USCC_CHARSET", "A unified social credit code holds a character outside its alphabet.", "Check for I, O, S, V, Z, full-width or foreign letters.";
    UsccCase = 115, "USCC_CASE", "A unified social credit code holds lower-case letters.", "Write the code in capitals.";
    UsccWhitespace = 116, "USCC_WHITESPACE", "A unified social credit code has white space around or in it.", "Remove the white space.";
    UsccCheckChar = 117, "USCC_CHECK_CHAR", "The check character of a unified social credit code is wrong.", "Compare the code with the certificate; one character or two neighbours are wrong.";
    LeiLength = 118, "LEI_LENGTH", "A legal entity identifier does not have 20 characters.", "Check the identifier at its source.";
    LeiCharset = 119, "LEI_CHARSET", "A legal entity identifier holds a character that is not allowed.", "Use capital letters and digits; the last two are digits.";
    LeiCase = 120, "LEI_CASE", "A legal entity identifier holds lower-case letters.", "Write the identifier in capitals.";
    LeiCheck = 121, "LEI_CHECK", "The check digits of a legal entity identifier are wrong.", "Compare the identifier with its register.";
    NaturalPersonId = 122, "NATURAL_PERSON_ID", "A resident identity number stands where none may; it is not repeated here.", "Remove the number; persons' data belongs in the agency's vault.";
    PersonalDataInClear = 123, "PERSONAL_DATA_IN_CLEAR", "Data about a person would become public.", "File the record in class P3 so that its body goes to the agency's vault.";
    UnknownType = 124, "UNKNOWN_TYPE", "No record type has this name.", "See the list of record types.";
    SchemaInvalid = 125, "SCHEMA_INVALID", "The body does not fit its record type.", "See the detail for the field, the value got and the value wanted.";
    DateOrder = 126, "DATE_ORDER", "Two dates are in the wrong order.", "See the detail for both dates.";
    BadIdentifier = 127, "BAD_IDENTIFIER", "An organisation identifier has an unknown scheme or form.", "Use scheme uscc, lei, register or ocid.";
    UnknownCode = 128, "UNKNOWN_CODE", "No error has this code or name.", "Run `city explain --list`.";
    UnknownColumn = 129, "UNKNOWN_COLUMN", "The mapping file names a column that the spreadsheet lacks.", "Compare the headings of the spreadsheet with the mapping file.";
    GeoOutOfArea = 140, "GEO_OUT_OF_AREA", "A point does not lie where it may.", "Check whether longitude and latitude are swapped.";

    // 2 transaction: what a member signed
    WrongChain = 201, "WRONG_CHAIN", "The transaction is signed for another chain.", "Use the genesis of this network and sign again.";
    BadSignature = 202, "BAD_SIGNATURE", "The signature does not verify.", "Sign again with the key named as author.";
    Expired = 203, "EXPIRED", "The transaction's validity ended before it was ordered.", "Sign again with a later valid-until time.";
    ValidityTooLong = 204, "VALIDITY_TOO_LONG", "The transaction would stay valid longer than the chain allows.", "Use a valid-until time at most seven days ahead.";
    Replayed = 205, "REPLAYED", "This very transaction was ordered before, or this very question answered.", "Nothing to do for a transaction: ask for its status by its id. Sign a question anew.";
    NoOperations = 206, "NO_OPERATIONS", "The transaction holds no operation.", "Put at least one operation into it.";
    TooManyOperations = 207, "TOO_MANY_OPERATIONS", "The transaction holds more operations than allowed.", "Split it into transactions of at most 1,024 operations.";
    BodyCommitment = 208, "BODY_COMMITMENT", "A body does not match the commitment in its header.", "Build header and body together with the client.";
    BodyMissing = 209, "BODY_MISSING", "An operation of class P0 or P1 came without its body.", "Send the body beside the transaction.";
    BodyNotAllowed = 210, "BODY_NOT_ALLOWED", "A body was sent where it must not travel.", "Bodies of class P3 and P4 go to the agency's own node only.";
    AtomicFailed = 211, "ATOMIC_FAILED", "Another operation of an all-or-nothing transaction was refused.", "See the outcome of the other operations.";
    UnsupportedVersion = 212, "UNSUPPORTED_VERSION", "The transaction has a format version this chain does not know.", "Update the client.";
    LaneFrozen = 213, "LANE_FROZEN", "The validator that ordered the transaction had forked its lane, so nothing in it counts any more.", "Send the same transaction to another validator; it has not been used up.";

    // 3 rights: who may do what
    UnknownAuthor = 301, "UNKNOWN_AUTHOR", "No member has this key.", "Ask the agency's administrator to register the key.";
    MemberSuspended = 302, "MEMBER_SUSPENDED", "The member is suspended or its term is over.", "Ask the agency's administrator.";
    RoleNotAllowed = 303, "ROLE_NOT_ALLOWED", "The member's role may not do this.", "See the detail for the roles that may.";
    AgencyNotCompetent = 304, "AGENCY_NOT_COMPETENT", "The member acts for another agency, or the agency may not file this type.", "Have an officer of the competent agency sign.";
    SamePerson = 305, "SAME_PERSON", "The same key already acted on this record; a different officer is required.", "Have another officer sign.";
    StaleDigest = 306, "STALE_DIGEST", "The approval names another content than the record has now.", "Fetch the record, check it, and approve its present digest.";
    NoKeyForAuthority = 307, "NO_KEY_FOR_AUTHORITY", "The key ring holds no key of the authority named in the row.", "Add the authority's clerk key to the key ring.";
    AgencySuspended = 308, "AGENCY_SUSPENDED", "The agency's membership is not in force.", "Ask the council.";
    UnknownAgency = 309, "UNKNOWN_AGENCY", "No agency has this identifier.", "See `city agency list`.";
    KeyRetired = 320, "KEY_RETIRED", "The device's key is out of use, or not in use yet.", "Sign with the key in force; see the device's key events.";
    DeviceNotInForce = 321, "DEVICE_NOT_IN_FORCE", "The device is suspended or no longer registered.", "Ask the agency's administrator.";

    // 4 record: rules of content and life
    LegalBasisMissing = 401, "MISSING_LEGAL_BASIS", "The record names no legal basis of the catalogue.", "Name a basis of the catalogue; see the list of bases.";
    LegalBasisNotInForce = 402, "LEGAL_BASIS_NOT_IN_FORCE", "The legal basis was not in force at the decisive date.", "Name the version that was in force.";
    TypeNotPermittedByBasis = 403, "TYPE_NOT_PERMITTED_BY_BASIS", "The legal basis does not allow this record type.", "Name a basis that does.";
    SubjectKindNotPermitted = 404, "SUBJECT_KIND_NOT_PERMITTED", "The legal basis does not allow this kind of subject.", "Name a basis that does.";
    ClassNotPermitted = 405, "CLASS_NOT_PERMITTED", "The privacy class is not allowed for this type, subject or basis.", "See the type's classes.";
    IdempotencyConflict = 406, "IDEMPOTENCY_CONFLICT", "The idempotency key was used before with other content.", "Use a new key, or send the same content.";
    DuplicateNaturalKey = 407, "DUPLICATE_NATURAL_KEY", "The agency already filed a record with this decision number.", "Amend the existing record instead.";
    ExpiryRequired = 408, "EXPIRY_REQUIRED", "The record needs an end date.", "Give the end date that the legal basis asks for.";
    PublicationTooLong = 409, "PUBLICATION_TOO_LONG", "Publication would last longer than the legal basis allows.", "Shorten the publication.";
    RecordNotFound = 410, "RECORD_NOT_FOUND", "No record has this id.", "Check the id; refused submissions leave no record.";
    BadState = 411, "BAD_STATE", "The record's status does not allow this step.", "See the detail for the status and the steps it allows.";
    VersionConflict = 412, "VERSION_CONFLICT", "The operation names another version than the record has.", "Fetch the record and repeat with its present version.";
    ReferenceNotFound = 413, "REF_NOT_FOUND", "A reference names a record that does not exist or has a type not allowed here.", "Check the reference.";
    ReasonRequired = 414, "REASON_REQUIRED", "The step needs a reason.", "Give the reason.";
    OfficersRequired = 415, "OFFICERS_REQUIRED", "The record must name two different officers of the agency.", "Name two officers.";
    NotDisclosed = 416, "NOT_DISCLOSED", "The record is not, or no longer, published.", "Ask the acting agency or an auditor.";
    TooEarly = 417, "TOO_EARLY", "The step is not allowed yet.", "See the detail for the first day.";
    NotAmendable = 418, "NOT_AMENDABLE", "Records of this type are facts and are not amended.", "Invalidate the record and file a new one.";
    AlreadyExists = 419, "ALREADY_EXISTS", "An agency, member or basis with this name and version exists.", "Use another name or the next version.";
    ThresholdNotMet = 420, "THRESHOLD_NOT_MET", "Not enough council members or administrators have agreed.", "Collect the missing signatures.";
    ScoreForbidden = 421, "SCORE_FORBIDDEN", "A score, rating or rank of a subject is not allowed.", "Leave the score out; it may not be recorded.";
    HeaderMismatch = 422, "HEADER_MISMATCH", "The public header says something else than the body.", "Build header and body together; see the detail for the field.";
    LegalHold = 423, "ON_HOLD", "The record is under a legal hold and may be neither sealed nor erased.", "Wait for the hold to be released; see the history for the order.";
    NotInCatalogue = 442, "NOT_IN_CATALOGUE", "The legal basis knows no such list or measure.", "Use a code of the catalogue, or ask the council to add it.";
    HearingRequired = 443, "HEARING_REQUIRED", "The legal basis wants the subject to have been offered a hearing.", "Offer it, and say in the record whether it was held or waived (Administrative Penalty Law arts. 63-64).";
    NotAwaited = 424, "CONFIRMATION_NOT_AWAITED", "Nobody awaits this validator's word that it erased the record.", "Nothing to do: it gave it already, or it was no validator when the erasure was ordered.";
    MissingNotice = 425, "MISSING_NOTICE", "The record names no notice that went before it.", "File the notice, or its fingerprint, and name it.";
    MissingEvidence = 426, "MISSING_EVIDENCE", "The application for repair lacks evidence of performance or the public commitment.", "Have the applicant file it again with both.";
    RepairExcluded = 427, "REPAIR_EXCLUDED", "The legal basis, or the record's type, knows no repair.", "See the detail; an objection or a review may still be open.";
    OutlastsBase = 428, "OUTLASTS_BASE", "The record would begin before or end after the one it rests on.", "See the detail for the base's days.";
    CascadeLimit = 429, "CASCADE_LIMIT", "Records resting on one another would form a circle or a chain of more than four.", "Let the record rest on the act itself.";
    ValidatorSetSize = 430, "VALIDATOR_SET_SIZE", "The validator set would have fewer than 4 or more than 100 members.", "Add another validator before one leaves, or remove one before another joins.";
    KeyInUse = 431, "KEY_IN_USE", "A key already serves another validator or a member.", "Make a new key for this purpose.";
    ReadyStale = 432, "READY_STALE", "The validator's word that it is ready is older than ten minutes, or dated ahead of block time.", "Check the validator's clock and have it say so again.";
    ReadyNotNeeded = 433, "READY_NOT_NEEDED", "Nothing waits for this validator's word: it takes part already, or the next set is settled.", "If the next set lacks it, file again once the next epoch has begun.";
    NotWanted = 434, "VALIDATOR_NOT_WANTED", "No validator record in effect names this node's consensus key.", "Have the council approve the record first: city validator propose add, or replace-key.";
    SchemaUnsupported = 436, "SCHEMA_UNSUPPORTED", "The schema uses a keyword, or a keyword in a way, that the ledger does not read.", "See the detail for the place; docs/records.md lists what a schema may use.";
    SchemaIncompatible = 437, "SCHEMA_INCOMPATIBLE", "The schema changes what an earlier version of it says.", "Add optional properties and values at the end only, or register a new type.";
    SchemaNotInForce = 438, "SCHEMA_NOT_IN_FORCE", "No version of the type's schema with this number takes records on this day.", "File under a version in force: city schema list.";
    DataForbidden = 439, "DATA_FORBIDDEN", "The schema has a property for data that is recorded in no class.", "Leave it out; see docs/records.md for what is never accepted.";
    EvidenceInvalid = 440, "EVIDENCE_INVALID", "The two statements prove no offence.", "See the detail; nothing was recorded against anybody.";
    EvidenceKnown = 441, "EVIDENCE_KNOWN", "This offence is recorded already; it is counted once.", "Nothing to do: the leaf named in the detail holds the proof.";
    SeqReplay = 450, "SEQ_REPLAY", "A batch with this number, or a later one, is in the stream already.", "Number the batch one higher than the last one.";
    TimeBackwards = 451, "TIME_BACKWARDS", "Readings are not in the order of time, or not after the batch before.", "Check the device's clock; send readings in the order in which they were taken.";
    StreamNotDeclared = 452, "STREAM_NOT_DECLARED", "The device declares no such stream, or in other terms.", "Compare stream, unit, scale, period and tolerance with the device's registration.";
    PrevMismatch = 453, "PREV_MISMATCH", "The batch does not name the one before it in its stream.", "Name the digest of the last batch; see the detail.";
    BatchData = 454, "BATCH_DATA", "The data or the statistics of a batch do not fit its header.", "Seal the batch anew from its readings.";
    DeviceUnverified = 455, "DEVICE_UNVERIFIED", "Readings of a device without a verification in force are no ground for a penalty.", "Rest the penalty on other evidence (Administrative Penalty Law art. 41).";
    ReviewMissing = 456, "REVIEW_MISSING", "Automatic readings need a review by an officer before they are evidence.", "File the review, or its fingerprint, and name it as evidence beside the batch.";
    AlertStatusDiffers = 457, "ALERT_STATUS_DIFFERS", "An alert and those that it updates or cancels are not all actual, or not all of one exercise, test or system message.", "Refer to alerts of the same status: no test ends an actual alert, and the other way round.";
    ReleaseOrder = 458, "RELEASE_ORDER", "The release does not follow on the last one of its process, or its stage comes too early.", "Name the last release in effect as previous; award after tender, contract after award, implementation after contract.";
    BeyondBounds = 459, "BEYOND_BOUNDS", "A parameter lies beyond its bounds; no vote goes below what the law asks for.", "See the detail for the bounds and what they rest on.";

    // 5 proof: checking what others hand over
    ProofInvalid = 501, "PROOF_INVALID", "The proof does not lead to the root.", "The receipt or the record was altered; alarm the auditor.";
    QuorumNotMet = 502, "QUORUM_NOT_MET", "Fewer valid signatures of known validators than the quorum.", "Get a receipt with more signatures, or the right trust file.";
    UnknownSigner = 503, "UNKNOWN_SIGNER", "A signer is not in the trust file.", "Update the trust file.";
    TrustMissing = 504, "TRUST_MISSING", "There is no trust file to judge the proof by.", "Give --trust or initialise trust from the genesis hash.";
    ReceiptMalformed = 505, "RECEIPT_MALFORMED", "The receipt is not in a known form.", "Ask for the receipt again.";
    LeafMismatch = 506, "LEAF_MISMATCH", "The leaf is not the record that the receipt shows.", "The receipt was altered; alarm the auditor.";
    HistoryAltered = 507, "HISTORY_ALTERED", "Two signed statements about the same log contradict each other.", "Keep both files; call the auditors.";
    ChainBroken = 508, "CHAIN_BROKEN", "A block does not follow from the one before it.", "Compare with another node; keep the evidence.";
    CertificateInvalid = 509, "CERTIFICATE_INVALID", "A certificate does not verify against its validator set.", "Compare with another node; keep the evidence.";
    StateMismatch = 510, "STATE_MISMATCH", "Re-execution gives another root than the certified one.", "Check the software version; keep the evidence.";
    GenesisMismatch = 511, "GENESIS_MISMATCH", "The genesis is not the one expected.", "Read the genesis hash aloud with the other agencies and compare.";
    RecoveryInvalid = 512, "RECOVERY_INVALID", "The act of recovery binds nobody.", "See the detail; every agency signs exactly the same act with the key that the genesis names.";
    RecoveryShort = 513, "RECOVERY_SHORT", "Too few recovery keys have signed the act.", "Let further agencies sign the same file: city recovery sign ACT --key NAME.";
    RecoveryEpoch = 514, "RECOVERY_WRONG_EPOCH", "The act ends another epoch than the one in force.", "See `city validator list` or `city-node check` for the epoch, and draw the act up anew.";
    RecoveryBelowFinal = 515, "RECOVERY_BELOW_FINAL", "The act names a block below the newest one that is final at this node.", "Draw the act up anew with the newest block that any remaining node holds as final.";
    RecoveryOtherBlock = 516, "RECOVERY_OTHER_BLOCK", "The act names another block than the one that is final at this node at that height.", "Compare the block with the other agencies; if both are final, keep both as proof of a fork.";
    RecoveryTaken = 517, "RECOVERY_TAKEN", "Another act for the same epoch has taken effect at this node.", "Compare both acts; to change the validators once more, draw up an act for the epoch that began.";
    RecoveryUnknown = 518, "RECOVERY_UNKNOWN", "The genesis of this chain names no recovery keys, so no act can bind anybody.", "Only the council can change the validators of this chain; bring a quorum of them back.";

    // 6 node: the validator's API
    QueueFull = 601, "QUEUE_FULL", "The agency's queue at this node is full.", "Wait as long as Retry-After says and send again.";
    NotReady = 602, "NOT_READY", "The node is not ready to serve.", "See `city node status`; try another node.";
    NotFound = 603, "NOT_FOUND", "There is nothing here.", "Check the address or the id.";
    MethodNotAllowed = 604, "METHOD_NOT_ALLOWED", "The method is not allowed here.", "See the API description.";
    Unreachable = 605, "UNREACHABLE", "The node cannot be reached.", "Check the address; try another node of the context.";
    NotFinal = 606, "NOT_FINAL", "The transaction was sent but is not final yet.", "Ask for its status later; sending it again is safe.";
    NotOwnNode = 607, "NOT_OWN_NODE", "Bodies of class P3 and P4, and the log of who read them, are at the agency's own node alone.", "Turn to the agency's own node.";
    UnsupportedMediaType = 608, "UNSUPPORTED_MEDIA_TYPE", "The content type is not accepted here.", "Send application/json.";
    RequestTimeout = 609, "REQUEST_TIMEOUT", "The request took too long to arrive or to be answered.", "Send it again; the same idempotency key is safe.";
    NotYetExecuted = 610, "NOT_YET_EXECUTED", "The height is not executed at this node yet.", "Wait or ask another node.";
    ReceiptPending = 611, "RECEIPT_PENDING", "The checkpoint that covers the record has too few cosignatures yet.", "Ask again in a moment.";

    StatePruned = 612, "STATE_PRUNED", "The state after that block is no longer kept at this node.", "Ask for a later block, or execute the chain again up to that one.";
    NoSubjectIndex = 613, "NO_SUBJECT_INDEX", "The ledger of this network keeps no index of subjects.", "Only a genesis can name its key; list records with GET /v1/records, which proves nothing about completeness.";

    BlockPruned = 614, "BLOCK_PRUNED", "Blocks so far back, with the bodies in them, are no longer kept at this node, or never were.", "Ask another validator; proofs of what is in the record log are still given here.";

    // 7 network: between validators
    PeerNotAllowed = 701, "PEER_NOT_ALLOWED", "The peer is not in the validator set.", "Check the network key against the genesis.";
    PeerOtherGenesis = 702, "PEER_OTHER_GENESIS", "The peer runs another genesis.", "Compare the genesis hashes.";
    PeerIdentity = 703, "PEER_IDENTITY", "The peer could not prove its validator key.", "Check the keys of both sides.";
    PeerVersion = 704, "PEER_VERSION", "The peer speaks another protocol version.", "Run the same release everywhere.";
    KeyInTwoPlaces = 705, "KEY_IN_TWO_PLACES", "Two processes prove the same validator's keys; the second one is turned away.", "Stop the second process; if nobody knows where it runs, the keys are stolen: give the validator new ones through governance.";

    NoSnapshot = 706, "NO_SNAPSHOT", "Too few validators offer the same snapshot of the ledger.", "Try again after the next one (`snapshots.every` blocks), or start the node without one: it executes the chain from its first block.";

    // 8 storage
    StorageFailed = 801, "STORAGE_FAILED", "The disk refused to read or write; the node stopped so as not to vote on lost data.", "Remove the cause (space, permissions, hardware) and start again.";
    StorageCorrupt = 802, "STORAGE_CORRUPT", "Stored data does not match its checksum.", "Stop the node, keep the files, and fetch the ledger again from the peers.";
    SafetyLost = 803, "SAFETY_RECORD_LOST", "The safety record is missing, damaged or older than what the node signed; it follows without voting.", "Give the validator a new consensus key through governance.";
    NotInitialised = 804, "NOT_INITIALISED", "The data directory was never initialised.", "Run `city node init` once for a new validator.";
    AlreadyInitialised = 805, "ALREADY_INITIALISED", "The data directory belongs to a validator already.", "Use another directory; an existing one is never overwritten.";
    LockHeld = 806, "LOCK_HELD", "Another process uses the directory.", "Stop the other process, or wait until it is done.";
    StateDivergence = 807, "STATE_DIVERGENCE", "This node's execution differs from what a quorum certified.", "Stop; compare versions and hardware; keep the data.";
    ForkDetected = 808, "FORK_DETECTED", "Two conflicting commit certificates exist; more than f validators misbehaved.", "All agencies must look at the proof file.";
    BackupInvalid = 809, "BACKUP_INVALID", "A backup is not what it was when it was made, or does not hold against the genesis.", "Use another backup, and look at the disk that this one is on.";
    NoRoom = 810, "NO_ROOM", "There is too little free space on the disk.", "See the detail for what is free and what is needed; make room or use another disk.";

    StoreFormat = 811, "STORE_FORMAT", "The data directory was written by a release whose format this one does not read.", "Nothing was changed. Start it with the release that wrote it; or let this release begin anew beside it: another `data_dir`, `city node init`, `city snapshot fetch`, and new keys through governance (docs/operate/stores.md).";

    // 9 operation: configuration, keys, commands
    ConfigInvalid = 901, "CONFIG_INVALID", "The configuration has an unknown key or a bad value.", "See the detail for key and value.";
    GenesisInvalid = 902, "GENESIS_INVALID", "The genesis does not parse or breaks a rule.", "See the detail.";
    KeyFileInvalid = 903, "KEY_FILE_INVALID", "The key file is damaged, of another kind, or the passphrase is wrong.", "Check the file and the passphrase.";
    KeyFilePermissions = 904, "KEY_FILE_PERMISSIONS", "The key file can be read by others.", "Set its mode to 0600.";
    FileNotFound = 905, "FILE_NOT_FOUND", "A file does not exist or cannot be read.", "Check the path.";
    FileExists = 906, "FILE_EXISTS", "A file exists and is not overwritten.", "Choose another name or remove the file yourself.";
    NoContext = 907, "NO_CONTEXT", "There is no node to talk to.", "Give --node, or add a context with `city context add`.";
    PortInUse = 908, "PORT_IN_USE", "A network port is taken.", "Stop the other program or choose another port.";
    BatchIncomplete = 909, "BATCH_INCOMPLETE", "Some rows of the batch were refused.", "See the report file; correct the rows and submit them again.";
    Interrupted = 910, "INTERRUPTED", "The command was interrupted; nothing is lost.", "Run the resume command that was printed.";
    DevnetState = 911, "DEVNET_STATE", "The development network is not in the state this needs.", "See `city devnet status`.";
    ClockSkew = 912, "CLOCK_SKEW", "The clock of this machine differs from the network's.", "Synchronise the clock.";
    BadSpreadsheet = 920, "BAD_SPREADSHEET", "The spreadsheet is not UTF-8 CSV with one heading row, or a row does not fit the headings.", "Save it as CSV in UTF-8 and quote cells that hold commas.";
    BadMapping = 921, "BAD_MAPPING", "The mapping file is wrong.", "Compare it with the mapping files that are shipped.";
    JournalMismatch = 922, "JOURNAL_MISMATCH", "The journal belongs to another file, network or mapping.", "Resume with the same file, or start over with another journal.";
    NodeProgramMissing = 923, "NODE_PROGRAM_MISSING", "The program city-node is not installed beside city or in PATH.", "Build it with `make build`, or set CITY_NODE_BIN.";
    ScenarioDiffers = 924, "SCENARIO_DIFFERS", "Steps of a scenario came to something else than it expects.", "Compare the columns expected and got; one of the two is wrong.";
    Internal = 999, "INTERNAL", "A bug in this program.", "Report it with the log.";
}
