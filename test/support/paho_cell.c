/* One exchange of Paho C with a broker: publishes a retained message with QoS 2, then gets it as a new subscriber.
 *
 *   paho_cell URI 3|4|5 TOPIC [CA]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <MQTTClient.h>

#define WAIT_MS 15000
#define PAYLOAD "kept"

static int version;
static const char *trust_store;

static void check(int is_fine, const char *what) {
  if (is_fine) return;
  fprintf(stderr, "failed: %s\n", what);
  exit(1);
}

static MQTTClient open_client(const char *uri, const char *client_id) {
  MQTTClient client;
  MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
  create.MQTTVersion = version;
  check(MQTTClient_createWithOptions(&client, uri, client_id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create) == 0, "create");
  MQTTClient_SSLOptions ssl = MQTTClient_SSLOptions_initializer;
  ssl.trustStore = trust_store;
  if (version == MQTTVERSION_5) {
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer5;
    if (trust_store != NULL) options.ssl = &ssl;
    MQTTResponse response = MQTTClient_connect5(client, &options, NULL, NULL);
    check(response.reasonCode == MQTTREASONCODE_SUCCESS, "connect");
    MQTTResponse_free(response);
  } else {
    MQTTClient_connectOptions options = MQTTClient_connectOptions_initializer;
    options.MQTTVersion = version;
    if (trust_store != NULL) options.ssl = &ssl;
    check(MQTTClient_connect(client, &options) == MQTTCLIENT_SUCCESS, "connect");
  }
  return client;
}

static void close_client(MQTTClient client) {
  if (version == MQTTVERSION_5) MQTTClient_disconnect5(client, 1000, MQTTREASONCODE_SUCCESS, NULL);
  else MQTTClient_disconnect(client, 1000);
  MQTTClient_destroy(&client);
}

static void publish(MQTTClient client, const char *topic) {
  MQTTClient_deliveryToken token;
  if (version == MQTTVERSION_5) {
    MQTTResponse response = MQTTClient_publish5(client, topic, strlen(PAYLOAD), PAYLOAD, 2, 1, NULL, &token);
    check(response.reasonCode == MQTTREASONCODE_SUCCESS, "publish");
    MQTTResponse_free(response);
  } else {
    check(MQTTClient_publish(client, topic, strlen(PAYLOAD), PAYLOAD, 2, 1, &token) == MQTTCLIENT_SUCCESS, "publish");
  }
  check(MQTTClient_waitForCompletion(client, token, WAIT_MS) == MQTTCLIENT_SUCCESS, "acknowledgement");
}

static void receive(MQTTClient client, const char *topic) {
  if (version == MQTTVERSION_5) {
    MQTTResponse response = MQTTClient_subscribe5(client, topic, 2, NULL, NULL);
    check(response.reasonCode == MQTTREASONCODE_GRANTED_QOS_2, "subscribe");
    MQTTResponse_free(response);
  } else {
    check(MQTTClient_subscribe(client, topic, 2) == MQTTCLIENT_SUCCESS, "subscribe");
  }
  char *name = NULL;
  int length = 0;
  MQTTClient_message *message = NULL;
  MQTTClient_receive(client, &name, &length, &message, WAIT_MS);
  check(message != NULL, "message");
  check(message->payloadlen == (int)strlen(PAYLOAD) && memcmp(message->payload, PAYLOAD, strlen(PAYLOAD)) == 0, "payload");
  MQTTClient_freeMessage(&message);
  MQTTClient_free(name);
}

int main(int argc, char **argv) {
  check(argc >= 4, "usage");
  version = atoi(argv[2]);
  trust_store = argc > 4 ? argv[4] : NULL;
  MQTTClient_init_options init = MQTTClient_init_options_initializer;
  init.do_openssl_init = 1;
  MQTTClient_global_init(&init);
  MQTTClient publisher = open_client(argv[1], "paho-c-publisher");
  publish(publisher, argv[3]);
  close_client(publisher);
  MQTTClient subscriber = open_client(argv[1], "paho-c-subscriber");
  receive(subscriber, argv[3]);
  close_client(subscriber);
  puts("ok");
  return 0;
}
