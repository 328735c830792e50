// An OpenID provider for tests: `node server.mjs PORT REDIRECT_URI`. Whoever gives a name at its login form has that name;
// "unverified-..." have an address that nobody has checked. It keeps everything in memory.
import Provider from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(2);

const claims = (id) => ({
  sub: id,
  name: `Person ${id}`,
  email: `${id}@example.org`,
  email_verified: !id.startsWith('unverified-'),
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: 'kinora',
      client_secret: 'a-secret-for-tests-only',
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    },
  ],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  cookies: { keys: ['a key for tests only'] },
  features: { devInteractions: { enabled: true } },
  findAccount: (_context, id) => ({ accountId: id, claims: async () => claims(id) }),
  pkce: { required: () => true },
});

provider.listen(Number(port), '127.0.0.1');
