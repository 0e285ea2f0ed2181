"""The ground: frozen types that flow between rooms, atomic files, hashing, manifests and the exception tree."""
