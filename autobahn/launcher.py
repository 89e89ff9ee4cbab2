# Starts autobahntestsuite's wstest (Python 2.7) without the packages that it imports and never uses for ws://.
import sys
import types
import unittest

sys.modules['unittest2'] = unittest

import twisted.internet


class ClientContextFactory(object):
    pass


ssl = types.ModuleType('twisted.internet.ssl')
ssl.ClientContextFactory = ClientContextFactory
sys.modules['twisted.internet.ssl'] = twisted.internet.ssl = ssl

# Chooses the reactor, hence before the reactor's own import.
from autobahntestsuite import wstest
from twisted.internet import reactor

# The suite ignores the host of its URL and listens on all addresses.
listen_tcp = reactor.listenTCP
reactor.listenTCP = lambda port, factory, backlog=50, interface='': listen_tcp(
    port, factory, backlog, '127.0.0.1')

wstest.run()
