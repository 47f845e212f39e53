"""The work of one SecAgg+ client and of the server, by Flower's own functions.

The calls follow flwr/client/mod/secure_aggregation/secaggplus_mod.py and
flwr/server/workflow/secure_aggregation/secaggplus_workflow.py line by line, without the transport,
the records and the weights. Ids are positions, as Flower's are of one graph.
"""

import os

import numpy as np

import peers

CLIP, LEVELS, MODULUS = 8.0, 1 << 22, 1 << 32
TENTH = 10


class Functions:
    """Everything that is called, by its own name."""

    def __init__(self):
        package = "flwr.common.secure_aggregation"
        sources = {
            f"{package}.crypto.shamir": ("create_shares", "combine_shares"),
            f"{package}.crypto.symmetric_encryption": ("encrypt", "decrypt", "generate_shared_key"),
            f"{package}.ndarrays_arithmetic": (
                "parameters_addition", "parameters_subtraction", "parameters_mod",
            ),
            f"{package}.quantization": ("quantize", "dequantize"),
            f"{package}.secaggplus_utils": (
                "pseudo_rand_gen", "share_keys_plaintext_concat", "share_keys_plaintext_separate",
            ),
            "flwr.supercore.primitives.asymmetric": (
                "bytes_to_private_key", "bytes_to_public_key", "generate_key_pairs",
                "private_key_to_bytes", "public_key_to_bytes",
            ),
            "flwr.common": ("ndarray_to_bytes", "bytes_to_ndarray"),
        }  # fmt: skip
        for module, names in sources.items():
            for name in names:
                setattr(self, name, getattr(peers.load(module), name))

    def key_pair(self):
        """Give private and public key as bytes."""
        private, public = self.generate_key_pairs()
        return self.private_key_to_bytes(private), self.public_key_to_bytes(public)

    def shared(self, private, public):
        """Agree on a key from bytes, as every call of theirs does."""
        return self.generate_shared_key(
            self.bytes_to_private_key(private), self.bytes_to_public_key(public)
        )

    def mask(self, seed, size):
        """Expand one seed."""
        return self.pseudo_rand_gen(seed, MODULUS, [(size,)])


class Round:
    """Keys and messages of `n` clients of whom the last `dropped` vanish; all sum `values`."""

    def __init__(self, n, dropped, threshold, values):
        self.f = Functions()
        self.n, self.threshold, self.values = n, threshold, values
        self.alive, self.gone = range(n - dropped), range(n - dropped, n)
        self.pairs1 = [self.f.key_pair() for _ in range(n)]
        self.pairs2 = [self.f.key_pair() for _ in range(n)]
        shares = [self.f.create_shares(s, threshold, n) for s in (bytes(32), self.pairs1[0][0])]
        text = [self.f.share_keys_plaintext_concat(j, 0, *(s[0] for s in shares)) for j in range(n)]
        self.incoming = {
            j: self.f.encrypt(self.f.shared(self.pairs2[j][0], self.pairs2[0][1]), text[j])
            for j in range(1, n)
        }
        self.sent = self.received = 0

    def client(self):
        """All four stages of client 0; gives its masked vector."""
        f = self.f
        f.key_pair(), f.key_pair()  # these of each run; the recorded messages are to fixed ones
        (sk1, pk1), (sk2, pk2) = self.pairs1[0], self.pairs2[0]
        seed = os.urandom(32)
        b_shares = f.create_shares(seed, self.threshold, self.n)
        sk1_shares = f.create_shares(sk1, self.threshold, self.n)
        keys = {j: f.shared(sk2, self.pairs2[j][1]) for j in range(1, self.n)}
        out = [
            f.encrypt(
                keys[j], f.share_keys_plaintext_concat(0, j, b_shares[j], sk1_shares[j])
            )
            for j in keys
        ]  # fmt: skip
        held = [f.share_keys_plaintext_separate(f.decrypt(keys[j], self.incoming[j])) for j in keys]
        vector = f.quantize([self.values], CLIP, LEVELS)
        vector = f.parameters_addition(vector, f.mask(seed, self.values.size))
        for j in keys:
            mask = f.mask(f.shared(sk1, self.pairs1[j][1]), self.values.size)
            vector = f.parameters_subtraction(vector, mask)  # 0 is the least id
        message = [f.ndarray_to_bytes(part) for part in f.parameters_mod(vector, MODULUS)]
        answer = [held[j - 1][2 if j in self.alive else 3] for j in keys]
        self.late = sum(map(len, [*message, *answer]))  # what a dropped client does not send
        self.sent = self.late + sum(map(len, [pk1, pk2, *out]))
        self.received = sum(map(len, self.incoming.values())) + self.n * (len(pk1) + len(pk2))
        return f.bytes_to_ndarray(message[0])

    def server_wire(self):
        """Bytes that the server sends and receives, from those of client 0."""
        kept = self.sent - self.late
        return peers.Wire(self.n * self.received, self.n * kept + len(self.alive) * self.late)

    def prepare_server(self):
        """Make the survivors' shares, and vectors whose sum is what the real ones' would be."""
        f, size = self.f, self.values.size
        seeds = [os.urandom(32) for _ in self.alive]
        self.secrets = {
            j: seeds[j] if j in self.alive else self.pairs1[j][0] for j in range(self.n)
        }
        self.shares = {
            j: f.create_shares(self.secrets[j], self.threshold, self.n)[: self.threshold]
            for j in range(self.n - 1, -1, -TENTH)  # of the dropped too
        }
        total = [np.zeros(size, np.int64)]
        for seed in seeds:
            total = f.parameters_addition(total, f.mask(seed, size))
            total = f.parameters_addition(total, f.quantize([self.values], CLIP, LEVELS))
        for mask, sign in self._pair_masks({j: self.pairs1[j][0] for j in self.gone}):
            total = [total[0] - sign * mask[0]]
        one = f.mask(bytes(32), size)
        last = [total[0] - (len(self.alive) - 1) * one[0]]
        self.vectors = [f.ndarray_to_bytes(f.parameters_mod(v, MODULUS)[0]) for v in (one, last)]

    def _pair_masks(self, secrets):
        for gone, secret in secrets.items():
            for j in self.alive:
                seed = self.f.shared(secret, self.pairs1[j][1])
                yield self.f.mask(seed, self.values.size), 1 if gone > j else -1

    def server(self):
        """Sum the vectors, recover a tenth of the secrets, take all masks off; gives the sum."""
        f = self.f
        total = None
        for at in self.alive:
            vector = [f.bytes_to_ndarray(self.vectors[at == self.alive[-1]])]
            total = vector if total is None else f.parameters_addition(total, vector)
        total = f.parameters_mod(total, MODULUS)
        recovered = {owner: f.combine_shares(shares) for owner, shares in self.shares.items()}
        secrets = {**self.secrets, **recovered}
        for j in self.alive:
            total = f.parameters_subtraction(total, f.mask(secrets[j], self.values.size))
        for mask, sign in self._pair_masks({j: secrets[j] for j in self.gone}):
            add = f.parameters_addition if sign > 0 else f.parameters_subtraction
            total = add(total, mask)
        numbers = f.dequantize(f.parameters_mod(total, MODULUS), CLIP, LEVELS)[0]
        return numbers - (len(self.alive) - 1) * CLIP
