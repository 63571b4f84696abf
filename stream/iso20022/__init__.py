"""ISO 20022 messages in and out: bytes to records of the contract, records to bytes. Pure; imports ``stream.contracts`` alone.

The gateway, the command line and the reader of files enter through :mod:`stream.iso20022.converter` and
:mod:`stream.iso20022.answers`.
"""
