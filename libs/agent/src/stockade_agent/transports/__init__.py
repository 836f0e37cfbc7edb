"""The gate's refusals as `NetworkPolicyError`, in the HTTP clients that agents use: `.httpx` and `.requests`.

Each module needs the library of its name, which the extra of that name brings.
"""
