// A mail server for tests: `node server.mjs PORT FOLDER SECURITY`, where SECURITY is `starttls`, `tls` or `none`. Its
// certificate is `server.crt` with `server.key` in FOLDER, and each mail that it takes becomes a file `<number>.eml` there,
// after lines that tell how it came. Of the recipients, `busy-...` are put off the first time and `nobody-...` do not exist.
// A user and password that it is shown without encryption become the file `leaked`.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SMTPServer } from 'smtp-server';

const [port, folder, security] = process.argv.slice(2);

const answer = (code, text) => Object.assign(new Error(text), { responseCode: code });
const putOff = new Set();
let taken = 0;

const keep = (session, text) => {
  taken += 1;
  const name = join(folder, String(taken).padStart(4, '0'));
  const came = [
    `Test-Encrypted: ${session.secure}`,
    `Test-User: ${session.user}`,
    `Test-From: ${session.envelope.mailFrom.address}`,
    ...session.envelope.rcptTo.map(({ address }) => `Test-To: ${address}`),
  ];
  writeFileSync(`${name}.partial`, `${came.join('\r\n')}\r\n${text}`);
  renameSync(`${name}.partial`, `${name}.eml`);
};

const server = new SMTPServer({
  secure: security === 'tls',
  cert: readFileSync(join(folder, 'server.crt')),
  key: readFileSync(join(folder, 'server.key')),
  disabledCommands: security === 'none' ? ['STARTTLS'] : [],
  allowInsecureAuth: security === 'none',
  disableReverseLookup: true,
  onAuth: ({ username, password }, session, done) => {
    if (!session.secure) writeFileSync(join(folder, 'leaked'), username);
    if (username !== 'kinora' || password !== 'p@ss/word') return done(answer(535, 'wrong password'));
    return done(null, { user: username });
  },
  onRcptTo: ({ address }, _session, done) => {
    if (address.startsWith('nobody-')) return done(answer(550, 'no such mailbox'));
    if (address.startsWith('busy-') && !putOff.has(address)) {
      putOff.add(address);
      return done(answer(451, 'try again'));
    }
    return done();
  },
  onData: (stream, session, done) => {
    const parts = [];
    stream.on('data', (part) => parts.push(part));
    stream.on('end', () => {
      keep(session, Buffer.concat(parts).toString());
      done();
    });
  },
});

// Clients that do not like the certificate break off.
server.on('error', () => {});
server.listen(Number(port), '127.0.0.1');
